"""How lines are followed: by sys.monitoring where there is one, by sys.settrace else."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

import pytest

from poolproof.agent import tracing

pytestmark = pytest.mark.unit


def watched() -> int:
    first = 1
    return first + 1


LINES = [watched.__code__.co_firstlineno + number for number in (1, 2)]


class Listener:
    """Wants the code of `watched`, and keeps what it hears of it."""

    def __init__(self) -> None:
        self.lines: list[int] = []

    def wants(self, code: CodeType, /) -> bool:
        return code is watched.__code__

    def passed(self, _code: CodeType, line: int, /) -> None:
        self.lines.append(line)


class Monitoring(SimpleNamespace):
    """Scripted: what `sys.monitoring` was told, and who is to be called by it."""

    DISABLE = object()
    events = SimpleNamespace(LINE=1, PY_START=2, PY_RESUME=4)

    def __init__(self, taken: tuple[int, ...] = ()) -> None:
        super().__init__(callbacks={}, tools=dict.fromkeys(taken, "theirs"), local={}, events_set=0)
        self.restarts = 0

    def get_tool(self, tool: int) -> str | None:
        name: str | None = self.tools.get(tool)
        return name

    def use_tool_id(self, tool: int, name: str) -> None:
        self.tools[tool] = name

    def register_callback(self, tool: int, event: int, callback: Callable[..., Any]) -> None:
        self.callbacks[tool, event] = callback

    def set_events(self, _tool: int, events: int) -> None:
        self.events_set = events

    def set_local_events(self, _tool: int, code: CodeType, events: int) -> None:
        self.local[code] = events

    def restart_events(self) -> None:
        self.restarts += 1


@pytest.mark.parametrize(
    ("taken", "tool"), [((), 4), ((4,), 3), ((4, 3), 0), ((4, 3, 0, 2, 1), 5)], ids=repr
)
def test_the_first_free_tool_is_taken(taken: tuple[int, ...], tool: int) -> None:
    scripted = Monitoring(taken)

    assert tracing.Monitoring(Listener(), scripted).start()
    assert [number for number, name in scripted.tools.items() if name == "poolproof"] == [tool]


def test_without_a_free_tool_it_is_barred() -> None:
    assert not tracing.Monitoring(Listener(), Monitoring((0, 1, 2, 3, 4, 5))).start()


def test_code_that_is_not_wanted_is_heard_of_once() -> None:
    scripted = Monitoring()
    tracing.Monitoring(Listener(), scripted).start()

    for event in (Monitoring.events.PY_START, Monitoring.events.PY_RESUME):
        answer = scripted.callbacks[4, event](Listener.passed.__code__, 0)
        assert answer is Monitoring.DISABLE
    assert scripted.local == {}


def test_lines_of_wanted_code_are_heard_of_once() -> None:
    scripted, listener = Monitoring(), Listener()
    tracing.Monitoring(listener, scripted).start()
    scripted.callbacks[4, Monitoring.events.PY_START](watched.__code__, 0)
    answer = scripted.callbacks[4, Monitoring.events.LINE](watched.__code__, 7)

    assert answer is Monitoring.DISABLE
    assert scripted.local == {watched.__code__: Monitoring.events.LINE}
    assert listener.lines == [7]


class AnyCode:
    """Wants everything, and hears nothing."""

    def wants(self, _code: CodeType, /) -> bool:
        return True

    def passed(self, _code: CodeType, _line: int, /) -> None:
        pytest.fail("nothing runs under a scripted sys.monitoring")


def test_running_frames_are_followed_from_here() -> None:
    scripted = Monitoring()
    tracing.Monitoring(AnyCode(), scripted).start()

    assert test_running_frames_are_followed_from_here.__code__ in scripted.local


def test_a_second_start_takes_no_second_tool_and_hears_of_all_again() -> None:
    scripted = Monitoring()
    backend = tracing.Monitoring(Listener(), scripted)

    assert backend.start()
    assert backend.start()
    assert len(scripted.tools) == 1
    assert scripted.restarts == 2


def traced(settrace: tracing.Settrace, *, theirs: Any = None, hook: Any = None) -> None:
    """Start `settrace` in a thread of its own, beside these tracers, and pass `watched`."""
    before = threading.gettrace()

    def run() -> None:
        sys.settrace(theirs)
        settrace.start()
        watched()
        in_thread = threading.Thread(target=watched)
        in_thread.start()
        in_thread.join()
        sys.settrace(None)

    thread = threading.Thread(target=run)
    threading.settrace(hook)
    try:
        thread.start()
        thread.join()
    finally:
        threading.settrace(before)


def test_settrace_hears_of_lines_in_this_thread_and_in_new_ones() -> None:
    listener = Listener()
    traced(tracing.Settrace(listener))

    assert listener.lines == LINES * 2


class Theirs:
    """A tracer of the target that keeps what it sees of `watched`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if frame.f_code is not watched.__code__:
            return None
        self.seen.append((event, frame.f_lineno))
        return self

    def all_seen(self) -> list[tuple[str, int]]:
        first, last = LINES
        return [("call", first - 1), ("line", first), ("line", last), ("return", last)]


def test_settrace_leaves_a_tracer_of_this_thread_at_work() -> None:
    listener, theirs = Listener(), Theirs()
    traced(tracing.Settrace(listener), theirs=theirs)

    assert listener.lines == LINES * 2
    assert theirs.seen == theirs.all_seen()


def test_settrace_leaves_a_tracer_of_new_threads_at_work() -> None:
    listener, theirs = Listener(), Theirs()
    traced(tracing.Settrace(listener), hook=theirs)

    assert listener.lines == LINES * 2
    assert theirs.seen == theirs.all_seen()


def test_settrace_stays_beside_a_tracer_that_installs_another() -> None:
    """As coverage's does in each new thread."""
    listener, theirs = Listener(), Theirs()

    def installer(frame: FrameType, event: str, arg: Any) -> Any:
        sys.settrace(theirs)
        return theirs(frame, event, arg)

    traced(tracing.Settrace(listener), theirs=installer, hook=installer)

    assert listener.lines == LINES * 2
    assert theirs.seen == theirs.all_seen() * 2


def test_settrace_goes_on_alone_when_the_other_tracer_ends() -> None:
    listener = Listener()
    traced(tracing.Settrace(listener), theirs=lambda *_: sys.settrace(None))

    assert listener.lines == LINES * 2


def test_settrace_started_again_hears_of_a_line_once() -> None:
    listener, theirs = Listener(), Theirs()
    settrace = tracing.Settrace(listener)
    before = threading.gettrace()

    def run() -> None:
        sys.settrace(theirs)
        settrace.start()
        settrace.start()
        watched()
        sys.settrace(None)

    thread = threading.Thread(target=run)
    try:
        thread.start()
        thread.join()
    finally:
        threading.settrace(before)

    assert listener.lines == LINES
    assert theirs.seen == theirs.all_seen()


@pytest.fixture
def frame() -> FrameType:
    """The frame of a call of `watched`."""
    kept: list[FrameType] = []

    def keep(frame: FrameType, _event: str, _arg: Any) -> None:
        if frame.f_code is watched.__code__:
            kept.append(frame)

    def run() -> None:
        sys.settrace(keep)
        watched()
        sys.settrace(None)

    in_its_thread(run)
    return kept[0]


def in_its_thread(run: Callable[[], None]) -> None:
    """A thread has trace functions of its own: those of the tests' thread are left as they are."""
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


# No tracer sees what a trace function does: what follows is called by hand, to be measured too.


def test_by_hand_only_lines_of_wanted_code_are_passed_on(frame: FrameType) -> None:
    listener = Listener()
    settrace = tracing.Settrace(listener)

    assert settrace.on_call(frame, "call", None) is settrace.on_line
    for event in ("line", "return"):
        assert settrace.on_line(frame, event, None) is settrace.on_line
    assert listener.lines == [frame.f_lineno]
    assert settrace.on_call(sys._getframe(), "call", None) is None


@pytest.mark.parametrize("local", [True, False], ids=["theirs is local too", "theirs is not"])
def test_by_hand_both_tracers_of_a_frame_are_called(frame: FrameType, *, local: bool) -> None:
    listener = Listener()
    heard: list[str] = []

    def theirs(asked: FrameType, event: str, _arg: Any) -> Any:
        if asked is frame:
            heard.append(event)
        return theirs if local else None

    def run() -> None:
        calls = tracing._Threads(tracing.Settrace(listener), theirs)
        lines = calls(frame, "call", None)
        for event in ("line", "return"):
            lines(frame, event, None)
        sys.settrace(None)

    in_its_thread(run)

    assert heard == (["call", "line", "return"] if local else ["call"])
    assert listener.lines == [frame.f_lineno]


def test_by_hand_a_frame_that_is_not_wanted_is_left_to_the_other_tracer() -> None:
    def theirs(*_: Any) -> Any:
        return theirs

    answers: list[object] = []

    def run() -> None:
        calls = tracing._Calls(tracing.Settrace(Listener()), theirs)
        answers.append(calls(sys._getframe(), "call", None))
        sys.settrace(None)

    in_its_thread(run)

    assert answers == [theirs]


def test_by_hand_frames_that_are_followed_already_are_not_followed_twice() -> None:
    settrace = tracing.Settrace(Listener())
    other = settrace._in_frame(print)

    assert settrace._in_frame(None) is settrace._in_frame(settrace.on_line) is settrace.on_line
    assert settrace._in_frame(other) is other


RUNNING = """
import sys
from poolproof.agent import tracing

class Listener:
    def wants(self, code):
        return code.co_name in ("outer", "inner")
    def passed(self, code, line):
        print(code.co_name, line - code.co_firstlineno)

def inner():
    start()
    pass

def outer():
    inner()
    pass

def start():
    if {barred}:
        [sys.monitoring.use_tool_id(tool, "theirs") for tool in range(6)]
    backend = tracing.follow(Listener())
    {again}

outer()
"""


@pytest.mark.parametrize("barred", [False, True], ids=["as it comes", "all tools taken"])
@pytest.mark.parametrize("again", ["pass", "backend.start()"], ids=["once", "twice"])
def test_frames_entered_before_the_start_are_followed(
    tmp_path: Path, again: str, *, barred: bool
) -> None:
    if barred and sys.version_info < (3, 12):
        pytest.skip("there are no tools before Python 3.12")
    file = tmp_path / "running.py"
    file.write_text(RUNNING.format(barred=barred, again=again))
    done = subprocess.run(
        [sys.executable, str(file)],
        env={"PYTHONPATH": str(Path(tracing.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("inner 2\nouter 2\n", "")
