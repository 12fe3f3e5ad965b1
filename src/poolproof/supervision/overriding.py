"""`typing.override`, which Python 3.11 does not have yet."""

from typing import TYPE_CHECKING, TypeVar

__all__ = ["override"]

if TYPE_CHECKING:
    from typing_extensions import override
else:
    T = TypeVar("T")

    def override(method: T) -> T:
        """Return `method` as it is; the mark is for readers and type checkers."""
        return method
