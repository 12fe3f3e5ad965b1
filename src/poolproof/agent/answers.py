"""What a target answers, which may be anything: shown, and compared, without an exception."""

from typing import Any


def shown(answer: object) -> str:
    """Return the beginning of its repr."""
    try:
        return repr(answer)[:80]
    except Exception as error:  # noqa: BLE001 - it is the target's own
        return f"a {type(answer).__name__} whose repr raises {type(error).__name__}"


def equal(answer: object, expected: object) -> bool:
    """Compare as a person would: arrays, which compare element by element, are equal if every element is."""
    try:
        same: Any = answer == expected
        every = getattr(same, "all", None)
        return bool(every() if callable(every) else same)
    except Exception:  # noqa: BLE001 - what cannot be compared is not what was expected
        return False
