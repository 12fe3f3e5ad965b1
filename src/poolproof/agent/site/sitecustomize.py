"""Reaches the workers that a target spawns: Python runs the first of this name on their path."""

# No package: Python finds it by its name, in a directory on PYTHONPATH.
# ruff: noqa: INP001

import os
import sys


def _chain() -> None:
    """Import the `sitecustomize` that Python would have imported without this one, if any."""
    here = os.path.dirname(__file__)
    mine = sys.modules.pop("sitecustomize")
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if os.path.abspath(entry) != here]
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = mine
    finally:
        if here in path:
            sys.path.insert(path.index(here), here)


def _arm() -> None:
    """See to the crash points that the trial of this process asks for."""
    trial = os.environ.get("POOLPROOF_TRIAL", "")
    if trial and os.path.exists(os.path.join(trial, "points.json")):
        try:
            from poolproof.agent import points  # noqa: PLC0415 - too dear where nothing is asked

            points.arm_spawned(trial, sys.orig_argv)
        except Exception as error:  # noqa: BLE001 - the interpreter must start, whatever is wrong
            _confess(trial, error)


def _confess(trial: str, error: Exception) -> None:
    # By hand, because it may be the journal that is missing.
    import json  # noqa: PLC0415 - see above
    import time  # noqa: PLC0415

    message = f"could not reach a spawned worker: {error!r}"[:500]
    note = {"t": time.monotonic_ns(), "kind": "note", "pid": os.getpid(), "message": message}
    try:
        with open(os.path.join(trial, "history.jsonl"), "a", encoding="utf-8") as history:
            history.write(json.dumps(note) + "\n")
    except OSError:
        return


try:
    _chain()
finally:
    _arm()
