"""The warm process that has imported the target and forks one trial after another, itself without any thread."""

import gc
import importlib
import json
import os
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any, Final

from poolproof.agent import containment, target, trial

LONGEST_PROBLEM: Final = 4000


def serve(control: socket.socket) -> None:
    """Obey the controller's requests, one line of JSON each, until the connection ends."""
    prepared: target.Factory | None = None
    with control.makefile("rb") as requests:
        for line in requests:
            request: dict[str, Any] = json.loads(line)
            containment.reap()
            if request["do"] == "greet":
                reply = {"version": sys.version.split()[0]}
            elif request["do"] == "prepare":
                prepared, reply = _prepare(request)
            elif request["do"] == "preload":
                reply = _preload(request["modules"])
            else:
                reply = _fork(request, prepared, control)
            reply["asked"] = request["asked"]
            control.sendall(json.dumps(reply).encode() + b"\n")


def _prepare(request: dict[str, Any]) -> tuple[target.Factory | None, dict[str, Any]]:
    try:
        os.chdir(request["cwd"])
        prepared = target.resolve(request["name"])
    except target.TargetProblem as problem:
        return None, {"problem": str(problem)[:LONGEST_PROBLEM]}
    except BaseException as error:  # noqa: BLE001 - importing a target may raise anything, SystemExit included
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"importing {request['name']} raised {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        return None, {"problem": text[:LONGEST_PROBLEM]}
    return prepared, _state()


def _preload(modules: list[str]) -> dict[str, Any]:
    """Import what a first trial has imported, so that the next ones find it there."""
    for name in modules:
        with suppress(BaseException):
            importlib.import_module(name)
    return _state()


def _state() -> dict[str, Any]:
    gc.collect()
    gc.freeze()  # what is shared stays shared: a collection in a trial would touch, and copy, every page
    return {"threads": len(os.listdir("/proc/self/task"))}


def _fork(
    request: dict[str, Any], prepared: target.Factory | None, control: socket.socket
) -> dict[str, Any]:
    if prepared is None:
        return {"problem": "nothing is prepared"}
    parent = os.getpid()
    root = os.fork()
    if root == 0:
        os.close(control.detach())
        containment.die_with_parent(parent)
        _be_trial_root(request["trial"], request, prepared)
    return {"root": root}


def _be_trial_root(directory: str, request: dict[str, Any], prepared: target.Factory) -> None:
    """Own one trial: fork the owner of the pool, inherit its orphans, and leave when nothing is left."""
    try:
        os.setsid()
        containment.become_subreaper()
        parent = os.getpid()
        owner = os.fork()
        if owner == 0:
            containment.die_with_parent(parent)
            trial.main(directory, request, prepared)
        trial.bury(directory, owner)
    finally:
        os._exit(0)
