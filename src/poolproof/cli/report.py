"""`poolproof report [RUN]`: write a run's page, one HTML file that needs no network, and print where it is."""

import argparse
from pathlib import Path
from typing import Any, Final

from poolproof.chaos.saved import open_run
from poolproof.cli import session
from poolproof.report import html

HELP: Final = "write a run's page, one HTML file that needs no network, and print where it is"


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("report", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    session.add_run(parser)
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: report.html in the run's directory)",
    )
    add("--open", action="store_true", help="show it in the browser")


def run(arguments: argparse.Namespace) -> int:
    """Write the page, print its path, and open it if asked to."""
    session.writable_file(arguments.out, "--out")
    path = html.write(open_run(arguments.saved), arguments.out).resolve()
    print(path)
    if arguments.open:
        import webbrowser  # noqa: PLC0415 - only on request

        webbrowser.open(path.as_uri())
    return 0
