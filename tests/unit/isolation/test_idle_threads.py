"""Threads that a library keeps idle for the whole process are nobody's leak; while they work, they count."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from poolproof.isolation.resources import threads
from poolproof.isolation.resources.threads import frame_of

pytestmark = pytest.mark.unit

WRAPPER = "def wrapper(wait):\n    wait()\n"


def between(module: str) -> Callable[[Callable[[], object]], None]:
    """Return a function of that module which calls what it is given."""
    names: dict[str, Any] = {"__name__": module}
    exec(WRAPPER, names)
    wrapper: Callable[[Callable[[], object]], None] = names["wrapper"]
    return wrapper


def work(wrapper: Callable[[Callable[[], object]], None], wait: Callable[[], object]) -> None:
    """Be what the library's threads run."""
    wrapper(wait)


@contextmanager
def waiting_in(module: str) -> Generator[threading.Thread]:
    """Have a thread that waits for a lock in a function of that module."""
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=work, args=(between(module), lock.acquire))
    thread.start()
    try:
        until = time.monotonic() + 10
        while (frame := frame_of(thread)) is None or frame.f_code.co_name != "wrapper":
            assert time.monotonic() < until
            time.sleep(0.001)
        yield thread
    finally:
        lock.release()
        thread.join()


@pytest.mark.parametrize(
    ("module", "idles"), [("blockbuster.blockbuster", True), ("somebody.s_job", False)]
)
def test_a_kept_thread_idles_though_blockbuster_stands_between_it_and_its_lock(
    module: str, *, idles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(threads._KEPT_IDLE, __name__, "work")

    with waiting_in(module) as thread:
        assert threads._idles(thread) is idles
