"""The jobs that a trial submits: each leaves its own evidence, by a way that is not the pool's result path.

A job's body does the harm, if any; the wrapper around it only witnesses. So no body writes its own receipt.
"""

import asyncio
import os
import select
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from poolproof.agent import journal

Spec = dict[str, Any]
"""A job: `journal`, `gate` (paths), `job` (number), `body` (a key of BODIES), `token` (its answer), `size` (bytes),
`seconds` (how long it lasts)."""

BIG = 64 * 1024 * 1024
GIL_US = 500_000
TICK_SECONDS = 0.005


def run(spec: Spec, _argument: object = None) -> Any:
    """Run one job where the pool put it; return its answer, or raise what its body raises."""
    journal.open_at(spec["journal"])
    journal.write("started", job=spec["job"], data={"born": journal.born()})
    try:
        if spec.get("seconds"):
            _take(spec["seconds"])
        answer = BODIES[spec["body"]](spec)
    except BaseException as error:
        journal.write(
            "raised", job=spec["job"], error=type(error).__name__, message=str(error)[:200]
        )
        raise
    journal.write("finished", job=spec["job"], data=_measure(answer))
    return answer


async def run_coroutine(spec: Spec, _argument: object = None) -> Any:
    """Run one job in a pool whose jobs are coroutine functions; a gate does not block its loop."""
    journal.open_at(spec["journal"])
    journal.write("started", job=spec["job"], data={"born": journal.born()})
    try:
        await _pass_gate_on_loop(spec.get("gate"))
        if spec.get(
            "seconds"
        ):  # not even one turn of the loop otherwise: faults are aimed at turns
            await asyncio.sleep(spec["seconds"])
        answer = BODIES[spec["body"]]({**spec, "gate": None})
    except BaseException as error:
        journal.write(
            "raised", job=spec["job"], error=type(error).__name__, message=str(error)[:200]
        )
        raise
    journal.write("finished", job=spec["job"], data=_measure(answer))
    return answer


def _take(seconds: float) -> None:
    """Let the job last so long, without computing."""
    select.select([], [], [], seconds)


def _measure(answer: object) -> dict[str, Any]:
    return {
        "answer": type(answer).__name__,
        "size": len(answer) if isinstance(answer, bytes) else 0,
    }


_loop_gates: dict[str, asyncio.Event] = {}


async def _pass_gate_on_loop(gate: str | None) -> None:
    if gate is None:
        return
    if gate.startswith("loop:"):
        await _loop_gates.setdefault(gate, asyncio.Event()).wait()
    else:
        await asyncio.to_thread(pass_gate, gate)


def open_loop_gate(gate: str) -> None:
    """Let through those who wait at a gate that exists on the event loop only; call it on the loop."""
    _loop_gates.setdefault(gate, asyncio.Event()).set()


def pass_gate(gate: str) -> None:
    """Block until the gate is open: a named pipe whose only writer, the controller, removes its name and leaves."""
    try:
        descriptor = os.open(gate, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)


def _echo(spec: Spec) -> Any:
    if spec.get("gate"):
        pass_gate(spec["gate"])
    return spec["token"]


def _raise(error: BaseException) -> NoReturn:
    raise error


def _allocate(spec: Spec) -> Any:
    if spec.get("gate"):
        pass_gate(spec["gate"])
    ballast = bytearray(spec["size"])
    del ballast
    return spec["token"]


def _open_file(spec: Spec) -> Any:
    if spec.get("gate"):
        pass_gate(spec["gate"])
    for descriptor in [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)]:
        os.close(descriptor)
    return spec["token"]


_kept: list[bytearray] = []


def _leak(spec: Spec) -> Any:
    """Keep memory that is really there: of pages that are not written to, the kernel gives none."""
    memory = bytearray(spec["size"])
    memory[::4096] = b"x" * len(memory[::4096])
    _kept.append(memory)
    return spec["token"]


def _write_file(spec: Spec) -> Any:
    if spec.get("gate"):
        pass_gate(spec["gate"])
    import tempfile  # noqa: PLC0415 - this and the next: other workers need not pay for it

    with tempfile.TemporaryFile() as file:
        file.write(bytes(spec["size"]))
        file.flush()
    return spec["token"]


def _hold_gil(spec: Spec) -> Any:
    """Keep the interpreter's lock in a C call; a thread that can do nothing meanwhile witnesses for how long."""
    import ctypes  # noqa: PLC0415
    import itertools  # noqa: PLC0415
    import threading  # noqa: PLC0415
    import time  # noqa: PLC0415

    over = threading.Event()
    moments = [time.monotonic()]

    def tick() -> None:
        while not over.wait(TICK_SECONDS):
            moments.append(time.monotonic())

    ticker = threading.Thread(target=tick)
    ticker.start()
    ctypes.PyDLL(None).usleep(GIL_US)
    over.set()
    ticker.join()
    moments.append(time.monotonic())
    gap_ms = 1000 * max(b - a for a, b in itertools.pairwise(moments))
    if gap_ms >= GIL_US / 2000:
        witness(spec, "gil-held", ms=gap_ms)
    return spec["token"]


def big_answer(token: str, size: int) -> bytes:
    """Return `size` bytes that begin with the token, so that a mixed-up answer shows."""
    return token.encode().ljust(64, b".") + bytes(size - 64)


class Unpicklable:
    """Something that refuses to be pickled, and has it witnessed."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __reduce__(self) -> NoReturn:
        witness(self.spec, "pickle")
        raise TypeError(f"job {self.spec['job']}: cannot be pickled, on purpose")


class Unloadable:
    """Something that pickles well and cannot be unpickled where it arrives."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __reduce__(self) -> tuple[Callable[[Spec], NoReturn], tuple[Spec]]:
        return refuse_to_load, (self.spec,)


class UnpicklableError(Exception):
    """An exception that refuses to be pickled."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(f"job {spec['job']}: an exception that cannot be pickled")
        self.spec = spec

    def __reduce__(self) -> NoReturn:
        witness(self.spec, "pickle")
        raise TypeError(f"job {self.spec['job']}: exception cannot be pickled, on purpose")


class UnloadableError(Exception):
    """An exception that pickles well and cannot be unpickled: a required argument is missing from its `args`."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(f"job {spec['job']}: an exception that cannot be unpickled")
        self.spec = spec

    def __reduce__(self) -> tuple[Callable[[Spec], NoReturn], tuple[Spec]]:
        return refuse_to_load, (self.spec,)


def refuse_to_load(spec: Spec) -> NoReturn:
    """Fail in the process that unpickles, after it has been witnessed there."""
    witness(spec, "unpickle")
    raise ValueError(f"job {spec['job']}: cannot be unpickled, on purpose")


def witness(spec: Spec, effect: str, **data: Any) -> None:
    """Journal that this process has just come to the place where a fault's effect happens."""
    journal.open_at(spec["journal"])
    journal.write(
        "effect", job=spec["job"], data={"effect": effect, "born": journal.born(), **data}
    )


BODIES: dict[str, Callable[[Spec], Any]] = {
    "echo": _echo,
    "fail": lambda spec: _raise(ValueError(f"job {spec['job']} fails on purpose")),
    "exit": lambda _: os._exit(17),
    "sysexit": lambda _: sys.exit(3),
    "interrupt": lambda _: _raise(KeyboardInterrupt()),
    "argument-unpicklable": _echo,
    "argument-unloadable": _echo,
    "result-unpicklable": Unpicklable,
    "result-unloadable": Unloadable,
    "exception-unpicklable": lambda spec: _raise(UnpicklableError(spec)),
    "exception-unloadable": lambda spec: _raise(UnloadableError(spec)),
    "big": lambda spec: big_answer(spec["token"], spec.get("size", BIG)),
    "allocate": _allocate,
    "open-file": _open_file,
    "write-file": _write_file,
    "hold-gil": _hold_gil,
    "leak": _leak,
}

ARGUMENTS: dict[str, Callable[[Spec], object]] = {
    "argument-unpicklable": Unpicklable,
    "argument-unloadable": Unloadable,
}


def matches(spec: Spec, answer: object) -> bool:
    """Tell whether `answer` is the one that this job must give."""
    if spec["body"] == "big":
        return answer == big_answer(spec["token"], spec.get("size", BIG))
    return bool(answer == spec["token"])
