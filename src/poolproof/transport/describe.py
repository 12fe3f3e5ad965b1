"""What becomes of an exception on its way out of a worker: bounded text, the same on every layer."""

import os
import traceback
from types import TracebackType
from typing import Final

from poolproof.categories import CATEGORIES
from poolproof.errors import NotCarriedError, RemoteError
from poolproof.transport.base import ErrorKind, WireError

TYPE_CHARACTERS: Final = 200
MESSAGE_CHARACTERS: Final = 4_000
TRACEBACK_CHARACTERS: Final = 16_000
_HERE: Final = os.path.dirname(__file__)  # noqa: PTH120 - compared with the names that frames have
_OURS: Final = frozenset(
    os.path.join(_HERE, f"{name}.py")  # noqa: PTH118 - as above
    for name in ("actor", "mailbox", "packing", "starting", "worker")
)
_CUT: Final = "[...]\n"


def raised(error: BaseException) -> WireError:
    """Return what is told of an exception of the worker's own code.

    Its category is that of the exception's attribute `category`, a name of the table or a row of
    it; `python` if there is none.
    """
    text = _text(error)
    trace = "".join(traceback.format_exception(type(error), error, _theirs(error.__traceback__)))
    return WireError(
        kind="raised",
        type=_name(type(error)),
        message=text[:MESSAGE_CHARACTERS],
        category=_category(error),
        traceback=_clean(
            trace if len(trace) <= TRACEBACK_CHARACTERS else _CUT + trace[-TRACEBACK_CHARACTERS:]
        ),
        may_have_happened=True,
    )


def refused(error: NotCarriedError, *, may_have_happened: bool) -> WireError:
    """Return what is told of a payload (not begun) or a value (it has happened) that is not carried."""
    return _without_trace(
        "refused", _name(type(error)), str(error), "communication", happened=may_have_happened
    )


def stale(epoch: int, expected: int) -> WireError:
    """Return the answer to a request for another incarnation of the worker."""
    text = f"expected a request of epoch {expected}, got one of epoch {epoch}; it was not begun"
    return _without_trace("refused", "poolproof.errors.FrameError", text, "communication")


def expired() -> WireError:
    """Return the answer to a request whose deadline had passed when its turn came."""
    text = "expected to begin before the deadline, got there after it; it was not begun"
    return _without_trace("expired", "poolproof.errors.DeadlineExceededError", text, "timeout")


def cancelled(*, begun: bool) -> WireError:
    """Return the answer to a request that was given up as asked."""
    text = "cancelled while it awaited" if begun else "cancelled before it was begun"
    return _without_trace("cancelled", "asyncio.CancelledError", text, "system", happened=begun)


def remote(error: WireError) -> RemoteError:
    """Return the exception that stands for a worker's own."""
    category = error.category if error.category in CATEGORIES else "python"
    return RemoteError(error.type, error.message, CATEGORIES[category].name, error.traceback)


def _without_trace(
    kind: ErrorKind, name: str, message: str, category: str, *, happened: bool = False
) -> WireError:
    return WireError(kind, name, message[:MESSAGE_CHARACTERS], category, "", happened)


def _name(kind: type[BaseException]) -> str:
    name = kind.__qualname__
    return _clean(name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}")[
        :TYPE_CHARACTERS
    ]


def _text(error: BaseException) -> str:
    try:
        return _clean(str(error))
    except Exception as problem:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return f"<no text: {type(problem).__name__} raised by its __str__>"


def _clean(text: str) -> str:
    """Return text that UTF-8 can carry: lone surrogates, as file names have them, are escaped."""
    return text.encode(errors="backslashreplace").decode()


def _category(error: BaseException) -> str:
    found = getattr(error, "category", None)
    name = getattr(found, "name", found)
    return name if isinstance(name, str) and name in CATEGORIES else "python"


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Skip our own frames, which differ between layers."""
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    return trace
