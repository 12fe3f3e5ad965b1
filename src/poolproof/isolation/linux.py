"""What is for Linux only says so, in one line, before it fails for a reason that nobody understands."""

import sys

from poolproof.errors import UsageError


def require_linux(what: str) -> None:
    """Raise UsageError on any other platform.

    Args:
        what: what was asked for.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(f"expected Linux for {what}, got {sys.platform}; not available here")
