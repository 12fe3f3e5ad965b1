"""What is left on event loops: tasks, async generators, jobs of a loop's executor, exceptions that nobody took."""

import sys
import threading
from collections.abc import Hashable, Iterator
from typing import Any, Final
from weakref import WeakSet

from poolproof.isolation.blame import MOST_FRAMES, Notes, is_own, shortened
from poolproof.isolation.resources.base import Change, Finding, State, living, others_run, shown
from poolproof.isolation.resources.threads import doing, frame_of

# The task in which anyio runs a test and its fixtures.
_RUNNERS: Final = frozenset({"TestRunner._run_tests_and_fixtures"})
_WAITING: Final = "_worker"


class Asynchronous:
    """Tasks of every loop; async generators and executors of the loops that tests run on."""

    slugs = ("task", "async-generator", "executor-job", "task-exception")
    steady = False

    @property
    def fades(self) -> bool:
        """Whether another thread may yet end it."""
        return others_run()

    def __init__(self) -> None:
        self.loops: WeakSet[Any] = WeakSet()

    def look(self) -> State:
        """Return what is unfinished, and finished tasks whose exception was not taken."""
        if "asyncio.tasks" not in sys.modules:
            return {}
        found: dict[Hashable, object] = {}
        for task in tasks():
            if not task.done():
                found[task] = "task"
            elif getattr(task, "_log_traceback", False):
                found[task] = "task-exception"
        for loop in living(self.loops):
            for generator in living(getattr(loop, "_asyncgens", None)):
                if generator.ag_frame is not None:
                    found[id(generator), loop] = "async-generator"
            for thread in busy(getattr(loop, "_default_executor", None)):
                found[thread, loop] = "executor-job"
        return found

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report what is new; of tasks not the one in which anyio runs the test, nor those on a fixture's loop."""
        kind = change.new
        if kind in ("task", "task-exception"):
            if not notes.mine_by(_thread_of(change.key)):
                return None
            return _task(change.key) if kind == "task" else _exception(change.key)
        if kind == "async-generator":
            return _generator(change.key)
        return _job(change.key) if kind == "executor-job" else None

    def objects(self, change: Change) -> list[object]:
        """Return the task."""
        return [change.key]

    def undo(self, change: Change) -> None:
        """Cancel a task, take an exception; the loop's end closes the rest."""
        task: Any = change.key
        if change.new == "task" and not task.get_loop().is_closed():
            task.cancel()
        elif change.new == "task-exception":
            task.exception()


def tasks() -> list[Any]:
    """Return the tasks of all loops, finished ones too that somebody holds."""
    module: Any = sys.modules["asyncio.tasks"]
    registered = getattr(module, "_scheduled_tasks", None)
    weak = module._all_tasks if registered is None else registered  # noqa: SLF001
    eager = getattr(module, "_eager_tasks", ())
    return [*living(weak), *eager] if weak.data or eager else []


def _thread_of(task: Any) -> int | None:
    """Return the thread in which a task's loop runs, None if it does not."""
    return getattr(task.get_loop(), "_thread_id", None)


def _task(task: Any) -> Finding | None:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", shown(coroutine))
    if name in _RUNNERS:
        return None
    what = f"task {task.get_name()!r} of {name} is pending"
    return Finding(resource="task", what=what, where=awaiting(task))


def awaiting(task: Any) -> str:
    """Return where a task waits: the innermost line of the user's own code, else of all."""
    try:
        frames = task.get_stack()
    except RuntimeError:
        return ""
    chain: list[Any] = []
    coroutine = task.get_coro()
    while coroutine is not None and len(chain) < MOST_FRAMES:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            chain.append(frame)
        coroutine = getattr(coroutine, "cr_await", None)
    frames = chain or frames
    own = [frame for frame in frames if is_own(frame.f_code.co_filename)]
    if not frames:
        return ""
    frame = (own or frames)[-1]
    return f"awaits at {_place(frame.f_code, frame.f_lineno)}"


def _place(code: Any, line: int) -> str:
    return f"{shortened(code.co_filename)}:{line} in {code.co_qualname}"


def _exception(task: Any) -> Finding:
    error = task._exception  # noqa: SLF001 (to take it would change who is told of it)
    what = f"task {task.get_name()!r} ended by {shown(error)}, which nobody took"
    where = raised(getattr(error, "__traceback__", None))
    return Finding(resource="task-exception", what=what, where=where)


def raised(traceback: Any) -> str:
    """Return where an exception was raised: the innermost line of the user's own code, else of all."""
    places: list[tuple[Any, int]] = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code, traceback.tb_lineno))
        traceback = traceback.tb_next
    own = [(code, line) for code, line in places if is_own(code.co_filename)]
    return f"raised at {_place(*(own or places)[-1])}" if places else ""


def _generator(key: Any) -> Finding | None:
    number, loop = key
    for generator in living(getattr(loop, "_asyncgens", None)):
        if id(generator) == number and generator.ag_frame is not None:
            frame = generator.ag_frame
            return Finding(
                resource="async-generator",
                what=f"{generator.__qualname__} was begun and not closed",
                where=f"suspended at {_place(frame.f_code, frame.f_lineno)}",
            )
    return None


def busy(executor: Any) -> Iterator[threading.Thread]:
    """Yield the threads of a pool that are not waiting for work."""
    for thread in list(getattr(executor, "_threads", ()) or ()):
        frame = frame_of(thread)
        if frame is not None and frame.f_code.co_name != _WAITING:
            yield thread


def _job(key: Any) -> Finding | None:
    thread, loop = key
    if thread not in set(busy(getattr(loop, "_default_executor", None))):
        return None
    return Finding(
        resource="executor-job", what=f"a job in {thread.name!r} still runs", where=doing(thread)
    )
