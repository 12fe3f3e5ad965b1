"""The command `poolproof`: one file for each of its commands, and the exit codes that all of them share.

0 valid; 1 invalid; 2 bad usage, or the target could not be started; 3 unknown; 4 an error of poolproof itself;
130 and 143 interrupted.
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from poolproof import __version__
from poolproof.errors import PoolproofError

INTERRUPTED = 130
TERMINATED = 143
OWN_ERROR = 4


class _Terminated(BaseException):
    """SIGTERM has come: leave, and clear up on the way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never a traceback for what is not an error of poolproof."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(parsed.run(parsed))
    except PoolproofError as error:
        print(f"poolproof: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("poolproof: interrupted; everything that was started has been ended", file=sys.stderr)
        return INTERRUPTED
    except _Terminated:
        print("poolproof: terminated; everything that was started has been ended", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OWN_ERROR
    except Exception:  # noqa: BLE001 - the boundary: an error of ours must not look like a verdict
        traceback.print_exc()
        print("poolproof: this is an error of poolproof itself, not a verdict on the target", file=sys.stderr)
        return OWN_ERROR


def _terminate(_number: int, _frame: object) -> None:
    raise _Terminated


def _parser() -> argparse.ArgumentParser:
    from poolproof.cli import check, faults, reap, replay  # noqa: PLC0415 - `--version` need not pay for them

    parser = argparse.ArgumentParser(prog="poolproof", description="Prove that your worker pool survives.")
    parser.add_argument("--version", action="version", version=f"poolproof {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (check, replay, faults, reap):
        command.add_parser(commands)
    return parser
