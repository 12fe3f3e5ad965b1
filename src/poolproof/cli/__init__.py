"""The command `poolproof`: one file for each of its commands, and the exit codes that all of them share.

0 valid; 1 invalid; 2 bad usage, or the target could not be started; 3 unknown; 4 an error of poolproof itself;
130 and 143 interrupted.
"""

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import cast

from poolproof import __version__
from poolproof.errors import PoolproofError

INTERRUPTED = 130
TERMINATED = 143
OWN_ERROR = 4

COMMANDS = (
    *("check", "campaign", "replay", "report", "recheck", "diff", "promote", "faults", "scenario"),
    *("load", "bench", "baseline", "trends"),
    *("verify", "bisect", "doctor", "scan"),
    *("conformance", "reap", "tree"),
)
"""Each is a module here with `add_parser(commands)`; in the order of the help."""


class Terminated(BaseException):
    """SIGTERM has come: leave, and clear up on the way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never a traceback for what is not an error of poolproof."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        parsed = _parser(arguments).parse_args(arguments)
        signal.signal(signal.SIGTERM, _terminate)
        return int(parsed.run(parsed))
    except SystemExit:
        raise  # the parser's own: help, or an option that does not exist
    except KeyboardInterrupt:
        print("poolproof: interrupted; everything that was started has been ended", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print("poolproof: terminated; everything that was started has been ended", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OWN_ERROR
    except BaseException as error:  # noqa: BLE001 - the boundary: whatever it is, it must not look like a verdict
        return _fail(error)


def _fail(error: BaseException) -> int:
    """Say what several tasks at once have raised in one line, if all of it is on purpose; else show it."""
    leaves = list(_leaves(error))
    if not all(isinstance(leaf, PoolproofError) for leaf in leaves):
        traceback.print_exception(error)
        print(
            "poolproof: this is an error of poolproof itself, not a verdict on the target",
            file=sys.stderr,
        )
        return OWN_ERROR
    print(f"poolproof: {leaves[0]}", file=sys.stderr)
    return max(leaf.exit_code for leaf in leaves if isinstance(leaf, PoolproofError))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _terminate(_number: int, _frame: object) -> None:
    raise Terminated


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command that is named first, else of all: no command pays for what others import."""
    parser = argparse.ArgumentParser(
        prog="poolproof", description="Prove that your worker pool survives."
    )
    parser.add_argument("--version", action="version", version=f"poolproof {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = arguments[:1]
    for command in named if named and named[0] in COMMANDS else COMMANDS:
        importlib.import_module(f"poolproof.cli.{command}").add_parser(commands)
    return parser
