"""`poolproof conformance -- COMMAND`: judge a worker that somebody wrote in another language."""

import argparse
from typing import Any

from poolproof.transport import stranger


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "conformance",
        help="judge a worker program against the protocol (docs/protocol.md)",
        usage="poolproof conformance -- COMMAND...",
    )
    parser.set_defaults(run=run)
    parser.add_argument("command", nargs="+", help="starts the worker, with a handler that echoes")


def run(arguments: argparse.Namespace) -> int:
    """Print the judgement; 0 if every promise is kept, else 1."""
    broken = 0
    for sentence, problem in stranger.judged(arguments.command):
        broken += problem is not None
        print(
            f"ok    {sentence}" if problem is None else f"FAILS {sentence}: {problem}", flush=True
        )
    total = len(stranger.promises())
    print(f"{total - broken} of {total} promises kept" if broken else f"all {total} promises kept")
    return int(broken > 0)
