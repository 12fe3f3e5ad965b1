"""An audit hook beside coverage: it costs no thread the tracer, and on Python 3.11 with it its life."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from poolproof.agent import auditing

pytestmark = pytest.mark.integration

# With nothing done about it some 15 of these 8,000 threads end before they have done anything (measured on 3.11.7).
STARTING = """
import sys, threading
from poolproof.agent import auditing

def hook(event, arguments): pass

auditing.add_hook(hook)
sys.setswitchinterval(1e-6)
done = []
for _ in range(1000):
    threads = [threading.Thread(target=done.append, args=(1,)) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("done:", len(done))
"""


def test_every_thread_lives_while_coverage_measures(tmp_path: Path) -> None:
    program = tmp_path / "starting.py"
    program.write_text(STARTING)
    kept = f"--data-file={tmp_path / 'coverage'}"
    command = [sys.executable, "-m", "coverage", "run", "--rcfile=", kept, str(program)]
    environment = {it: value for it, value in os.environ.items() if "COVERAGE" not in it}

    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("done: 8000\n", "")


def test_a_debugger_finds_the_function_that_it_installed() -> None:
    auditing.add_hook(lambda *_: None)
    found: list[Any] = []

    def tracer(*_: Any) -> None: ...

    def install() -> None:
        sys.settrace(tracer)
        found.append(sys.gettrace())
        sys.settrace(None)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()

    assert found == [tracer]
