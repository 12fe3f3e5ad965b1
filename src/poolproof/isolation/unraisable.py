"""What finalisers raise while the guard collects rubbish: it is the running test's, not that of the next.

pytest keeps such exceptions for the next phase of any test, and there they are warnings, or errors if the suite's
filters say so. The filters decide here too.
"""

import gc
import sys
import traceback
import warnings
from typing import Any

import pytest

from poolproof.isolation.resources.asynchronous import raised
from poolproof.isolation.resources.base import Finding, shown


def collect() -> list[Finding]:
    """Collect rubbish; return what was raised meanwhile and is an error by the suite's filters."""
    met: list[tuple[str, Finding]] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: met.append(_told(unraisable))
    try:
        gc.collect()
    finally:
        sys.unraisablehook = before
    return [finding for text, finding in met if _is_error(text)]


def _told(unraisable: Any) -> tuple[str, Finding]:
    """Return it as pytest words it, and as a finding; neither keeps the object alive."""
    summary = f"{unraisable.err_msg or 'Exception ignored in'}: {shown(unraisable.object)}"
    error = unraisable.exc_value
    lines = traceback.format_exception(unraisable.exc_type, error, unraisable.exc_traceback)
    finding = Finding(
        resource="unraisable",
        what=f"{unraisable.exc_type.__name__}: {error}, raised in {shown(unraisable.object)}",
        where=raised(unraisable.exc_traceback),
    )
    return f"{summary}\n\n{''.join(lines)}", finding


def _is_error(text: str) -> bool:
    try:
        warnings.warn(pytest.PytestUnraisableExceptionWarning(text), stacklevel=2)
    except pytest.PytestUnraisableExceptionWarning:
        return True
    return False
