"""Where a measurement was taken: what must be alike for two to be compared, and a calibration for where it is not."""

import functools
import hashlib
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

MACHINE: Final = ("cpu", "cores", "memory_gib", "system", "architecture")
"""The facts that make a machine another one."""
TOLD: Final = ("python", "packages", "kernel", "governor")
"""What is told where it differs, and does not forbid a comparison: it may be what is compared."""
_SPINS: Final = 20_000


def take() -> dict[str, Any]:
    """Return the facts of this machine and interpreter, as JSON has them."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _packages(),
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
def _packages() -> str:
    """Return a short digest of the packages and versions that this process found installed; a tenth of a second."""
    found = sorted(f"{d.name}=={d.version}" for d in metadata.distributions())
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
