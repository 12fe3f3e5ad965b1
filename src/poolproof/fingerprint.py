"""Where a measurement was taken: what must be alike for two to be compared, and a calibration for where it is not."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

MACHINE: Final = ("cpu", "cores", "memory_gib", "system", "architecture")
"""The facts that make a machine another one."""
TOLD: Final = ("python", "packages", "kernel", "governor")
"""What is told where it differs, and does not forbid a comparison: it may be what is compared."""
_SPINS: Final = 20_000
_ASK: Final = """
import platform
from importlib import metadata
print(platform.python_version())
print("\\n".join(sorted(f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions())), end="")
"""


def take(python: str = sys.executable) -> dict[str, Any]:
    """Return the facts of this machine, and of the interpreter by which something was measured, as JSON has them."""
    version, packages = _interpreter(python)
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": version,
        "packages": packages,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "load": os.getloadavg()[0],
    }


def differences(
    one: dict[str, Any], other: dict[str, Any], facts: Sequence[str] = MACHINE
) -> list[str]:
    """Return in what two differ, as `fact: one, other`; by default such that times cannot be compared."""
    return [
        f"{name}: {one.get(name)}, {other.get(name)}"
        for name in facts
        if one.get(name) != other.get(name)
    ]


def calibrate() -> float:
    """Return how many seconds a fixed piece of work takes here and now: loops, dictionaries, bytes, system calls."""
    began = time.perf_counter()
    found: dict[int, int] = {}
    for number in range(_SPINS):
        found[number & 1023] = found.get(number & 1023, 0) + number
    digest = hashlib.sha256()
    for _ in range(_SPINS // 100):
        digest.update(bytes(1024))
        os.getppid()
    assert found
    assert digest.digest()
    return time.perf_counter() - began


def _cpu() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


@functools.cache
def _interpreter(python: str) -> tuple[str, str]:
    """Return an interpreter's version, and a short digest of its packages and their versions; a tenth of a second."""
    command = [python, "-c", _ASK]
    try:
        # From where no module of the target's can stand before the interpreter's own.
        told = subprocess.run(  # noqa: S603 - the interpreter that was measured
            command, capture_output=True, text=True, check=True, cwd="/"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown", "unknown"
    version, _, packages = told.stdout.partition("\n")
    return version, hashlib.sha256(packages.encode()).hexdigest()[:16]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
