"""What numbers may depend on: the machine, how busy it is, the versions; and how much memory this process has taken."""

import math
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def this_machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return when and where this runs, as JSON takes it.

    ``memory_gb`` (10⁹ bytes) and ``load_average`` (processes that ran or waited to run, over the last minute) are None
    where the system does not say; ``versions`` are those of ``versions_of``.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": available_cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions_of(packages),
    }


def available_cores() -> int:
    """Return how many cores this process may use, in a container too: the default of every ``--threads``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cores(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return cores if quota is None else max(1, min(cores, quota))


def cgroup_cores(own: Path, groups: Path) -> int | None:
    """Return how many cores' worth of time the control groups of a process leave it, rounded up; None: no bound.

    Args:
        own: the file that says which groups it is in, such as ``/proc/self/cgroup``.
        groups: where they are mounted; a container may see its own as the root.

    Source: kernel.org, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    bounds = []
    for line in lines:
        _, controllers, inside = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups if not controllers else groups / "cpu"
        place = root / inside.lstrip("/")
        for folder in (place, *place.parents):
            if folder != root and root not in folder.parents:
                break
            bounds.append(_version_2(folder) if not controllers else _version_1(folder))
    cores = [bound for bound in bounds if bound is not None]
    return math.ceil(min(cores)) if cores else None


def _version_2(folder: Path) -> float | None:
    return _share(*(*_first_line(folder / "cpu.max").split(), "", "")[:2])


def _version_1(folder: Path) -> float | None:
    return _share(_first_line(folder / "cpu.cfs_quota_us"), _first_line(folder / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> float | None:
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(quota) and int(period) else None


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def processor() -> str:
    """Return the processor's name, or at least its kind."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those of ``packages`` that are installed."""
    from importlib import metadata  # which takes longer to load than all else here, and every command loads this module

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
