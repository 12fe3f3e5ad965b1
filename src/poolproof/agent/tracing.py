"""How the lines that a process runs are followed: by `sys.monitoring`, or else by `sys.settrace`.

Both reach the frames that were entered before they were started, threads, and the shutdown of the
interpreter; and both leave the tracers of the target at work beside them.
"""

import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final, Protocol

# The free ones first, then those of a debugger, a profiler, a coverage tool and an optimiser.
_TOOLS: Final = (4, 3, 0, 2, 1, 5)


class Watcher(Protocol):
    """What is asked about the code of this process, and told about its lines."""

    def wants(self, code: CodeType, /) -> bool:
        """Say whether the lines of `code` are of interest."""
        ...

    def passed(self, code: CodeType, line: int, /) -> None:
        """Hear that `line` is about to run; what is raised here is raised there."""
        ...


class Backend(Protocol):
    """A way to follow lines."""

    def start(self) -> bool:
        """Follow all threads and running frames of this process; False if this way is barred.

        Called again after a fork, it begins anew in the child.
        """
        ...


def follow(watcher: Watcher) -> Backend:
    """Follow the lines that `watcher` wants; return how, to be started again after a fork."""
    monitoring = getattr(sys, "monitoring", None)  # since Python 3.12
    backend: Backend = Settrace(watcher)
    if monitoring is not None and (better := Monitoring(watcher, monitoring)).start():
        return better
    backend.start()
    return backend


def _running() -> Iterator[FrameType]:
    for innermost in sys._current_frames().values():  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        frame: FrameType | None = innermost
        while frame is not None:
            yield frame
            frame = frame.f_back


class Monitoring:
    """Lines by `sys.monitoring`: a function costs one call in all, and so does each wanted line."""

    def __init__(self, watcher: Watcher, monitoring: Any) -> None:
        self._watcher = watcher
        self._monitoring = monitoring
        self._tool: int | None = None

    def start(self) -> bool:
        """Follow lines; False if every tool id is taken."""
        if self._tool is None:
            self._tool = self._claim()
            if self._tool is None:
                return False
            self._register(self._tool)
        self._monitoring.restart_events()
        line_event = self._monitoring.events.LINE
        for frame in _running():
            if self._watcher.wants(frame.f_code):
                self._monitoring.set_local_events(self._tool, frame.f_code, line_event)
        return True

    def _claim(self) -> int | None:
        free = (tool for tool in _TOOLS if self._monitoring.get_tool(tool) is None)
        tool = next(free, None)
        if tool is not None:
            self._monitoring.use_tool_id(tool, "poolproof")
        return tool

    def _register(self, tool: int) -> None:
        monitoring, events = self._monitoring, self._monitoring.events
        # In locals, because the globals of a module are gone before the interpreter is.
        wants, passed = self._watcher.wants, self._watcher.passed
        line_event, disable = events.LINE, monitoring.DISABLE
        set_local_events = monitoring.set_local_events

        def on_code(code: CodeType, _offset: int) -> Any:
            if wants(code):
                set_local_events(tool, code, line_event)
            return disable

        def on_line(code: CodeType, line: int) -> Any:
            passed(code, line)
            return disable

        for event in (events.PY_START, events.PY_RESUME):
            monitoring.register_callback(tool, event, on_code)
        monitoring.register_callback(tool, line_event, on_line)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME)


class Settrace:
    """Lines by `sys.settrace`: every call costs one call, and so does each line of wanted code."""

    def __init__(self, watcher: Watcher) -> None:
        wants, passed = watcher.wants, watcher.passed

        def on_line(frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "line":
                passed(frame.f_code, frame.f_lineno)
            return on_line

        def on_call(frame: FrameType, _event: str, _arg: Any) -> Any:
            return on_line if wants(frame.f_code) else None

        self._wants = wants
        self.on_line = on_line
        self.on_call = on_call

    def start(self) -> bool:
        """Follow lines, in this thread, in its running frames, and in threads to come."""
        for frame in _running():
            if self._wants(frame.f_code):
                frame.f_trace = self._in_frame(frame.f_trace)
        threading.settrace(self._beside(threading.gettrace(), _Threads))
        sys.settrace(self._beside(sys.gettrace(), _Calls))
        return True

    def _in_frame(self, theirs: Any) -> Any:
        if theirs is None or theirs is self.on_line:
            return self.on_line
        return theirs if isinstance(theirs, _Lines) else _Lines(self, theirs)

    def _beside(self, theirs: Any, both: "type[_Calls | _Threads]") -> Any:
        if theirs is None or theirs is self.on_call:
            return self.on_call
        return theirs if isinstance(theirs, both) else both(self, theirs)


class _Lines:
    """The trace function of a frame that another tracer follows too."""

    __slots__ = ("_mine", "_theirs")

    def __init__(self, settrace: Settrace, theirs: Any) -> None:
        self._mine = settrace.on_line
        self._theirs = theirs

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        self._theirs = self._theirs(frame, event, arg) or self._theirs
        self._mine(frame, event, arg)
        return self


class _Calls:
    """The trace function of a thread that has another tracer too."""

    __slots__ = ("_settrace", "_theirs")

    def __init__(self, settrace: Settrace, theirs: Any) -> None:
        self._settrace = settrace
        self._theirs = theirs

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        local = self._ask_them(frame, event, arg)
        if self._settrace.on_call(frame, event, arg) is None:
            return local
        frame.f_trace_lines = True  # coverage's tracer forbids it in what it does not measure
        return self._settrace.on_line if local is None else _Lines(self._settrace, local)

    def _ask_them(self, frame: FrameType, event: str, arg: Any) -> Any:
        # In their place, because they may put another there, themselves (coverage's), or none.
        theirs: Any = self._theirs
        sys.settrace(theirs)
        try:
            return theirs(frame, event, arg)
        finally:
            self._theirs = sys.gettrace()
            sys.settrace(self._settrace.on_call if self._theirs is None else self)


class _Threads:
    """What `threading` calls first in a new thread, where another tracer has a hook there too."""

    __slots__ = ("_settrace", "_theirs")

    def __init__(self, settrace: Settrace, theirs: Any) -> None:
        self._settrace = settrace
        self._theirs = theirs

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        return _Calls(self._settrace, self._theirs)(frame, event, arg)
