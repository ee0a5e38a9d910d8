"""What a measurement says of the machine, and of its own process."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from thymos.config import Settings

LIBRARIES = ("thymos", "numpy", "soundfile", "soxr", "onnxruntime", "torch", "opensmile")
_BUSY = 0.5
"""Waiting processes a core above which other work disturbs what is measured."""


class Machine(Settings):
    """Where and when something was measured."""

    date: str
    """At the start, in UTC."""
    processor: str
    cores: int
    """That this process may use."""
    memory_gb: float | None
    system: str
    load_average: float | None
    """Processes that ran or waited to run over the minute before the start."""
    versions: dict[str, str]
    """Of Python and of those libraries that are installed."""

    @property
    def is_busy(self) -> bool:
        """Whether other processes take so much that timings are longer than on a quiet machine."""
        return self.load_average is not None and self.load_average > _BUSY * self.cores


def this_machine() -> Machine:
    """Return what this machine is, and how busy."""
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        processor=_processor(),
        cores=len(usable_cores()) or os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.machine()}",
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        versions={"python": platform.python_version()} | _versions(),
    )


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has had at once (resident), in 10⁶ bytes; None where unknown.

    Linux's ``getrusage`` counts what the parent had when it started the process, so it is asked elsewhere only.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
