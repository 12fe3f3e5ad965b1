"""A child that is forked while coverage measures another thread: it does not wait for that thread's lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolproof.agent import coverage_lock

pytestmark = pytest.mark.integration

# While one thread calls measured code, as fast as it can, another forks children that call it too. Without the lock's
# release, between one in ten and one in two of them hangs.
FORKING = """
import os, sys, threading, time
from poolproof.agent import coverage_lock

def measured(): pass

def call():
    while True: measured()

def lives(seconds):
    if (child := os.fork()) == 0:
        measured()
        os._exit(0)
    end = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return False
        time.sleep(0.001)
    return True

coverage_lock.free_in_children()
threading.Thread(target=call, daemon=True).start()
print("hung:", sum(not lives(10) for _ in range(100)), flush=True)
os._exit(0)
"""


def test_it_is_free_in_every_forked_child(tmp_path: Path) -> None:
    program = tmp_path / "forking.py"
    program.write_text(FORKING)
    kept = f"--data-file={tmp_path / 'coverage'}"
    command = [sys.executable, "-m", "coverage", "run", "--rcfile=", kept, str(program)]
    environment = {it: value for it, value in os.environ.items() if "COVERAGE" not in it}

    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.stdout == "hung: 0\n", done.stderr


def test_without_coverage_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[object] = []
    monkeypatch.setitem(sys.modules, "coverage", None)
    monkeypatch.setattr(os, "register_at_fork", lambda **hook: hooks.append(hook))

    coverage_lock.free_in_children()

    assert hooks == []
