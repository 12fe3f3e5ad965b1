"""Why something ended: the exit reasons of OTP, and the exceptions that carry them."""

from dataclasses import dataclass
from typing import Literal

from poolproof.supervision.overriding import override

type_of_reason = Literal["normal", "shutdown", "kill", "killed", "noproc", "error"]


@dataclass(frozen=True, slots=True)
class ExitReason:
    """An exit reason: its kind, and the term or exception that came with it.

    Attributes:
        kind: `normal`, `shutdown`, `kill` (only as a signal), `killed`, `noproc` or `error`.
        detail: the term of a `shutdown` with a term, or what an `error` was about (often an
            exception).

    Example:
        >>> shutdown("upgrade").abnormal, error("boom").abnormal, str(shutdown("upgrade"))
        (False, True, 'shutdown(upgrade)')
    """

    kind: type_of_reason
    detail: object = None

    @property
    def abnormal(self) -> bool:
        """Whether a transient child that ends with this reason is restarted."""
        return self.kind not in {"normal", "shutdown"}

    @override
    def __str__(self) -> str:
        if self.detail is None:
            return self.kind
        if isinstance(self.detail, BaseException):
            return f"{self.kind}({type(self.detail).__name__}: {self.detail})"[:300]
        return f"{self.kind}({self.detail})"[:300]


NORMAL = ExitReason("normal")
SHUTDOWN = ExitReason("shutdown")
KILL = ExitReason("kill")
KILLED = ExitReason("killed")
NOPROC = ExitReason("noproc")


def shutdown(term: object) -> ExitReason:
    """Return OTP's `{shutdown, term}`."""
    return ExitReason("shutdown", term)


def error(detail: object) -> ExitReason:
    """Return the abnormal reason for `detail`, an exception or any other term."""
    return ExitReason("error", detail)


class ExitWith(Exception):  # noqa: N818 (it is no error: it is how a child names its own exit reason)
    """Raised by a child, or by its start, to end with `reason` instead of `error`."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def reason_of(exception: BaseException) -> ExitReason:
    """Return the reason that an exception which ended a child stands for."""
    return exception.reason if isinstance(exception, ExitWith) else error(exception)
