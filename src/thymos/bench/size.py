"""What the light install takes: of the disk, and of time to install."""

import os
import re
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from thymos.bench.child import BenchError, run_child
from thymos.bench.machine import usable_cores
from thymos.bench.report import Row

INSTALLED, NEW = "installed here", "pip install, new environment"


def installed_row() -> Row:
    """Return what Thymos and all that its light install needs take here."""
    sizes = {name: _size_of(name) for name in sorted(_needed("thymos", set()))}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:4]
    note = f"{len(sizes)} packages; " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in largest)
    return Row(part="install", name=INSTALLED, disk_mb=sum(sizes.values()) / 1e6, note=note)


def new_row() -> Row:
    """Return what installing the source that runs here into a new virtual environment takes.

    Raises:
        BenchError: this is no source tree, or pip fails, as it does without a network.
    """
    source = Path(__file__).resolve().parents[3]
    if not (source / "pyproject.toml").is_file():
        raise BenchError("only a clone can be installed anew")
    with tempfile.TemporaryDirectory(prefix="thymos-bench-") as name:
        venv = Path(name) / "venv"
        cores = len(usable_cores()) or 1
        run_child([sys.executable, "-m", "venv", str(venv)], cores)
        python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
        before = _folder_size(venv)
        constraints = source / "constraints.txt"
        pinned = ["-c", str(constraints)] if constraints.is_file() else []
        began = time.perf_counter()
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run_child([*pip, *pinned, str(source)], cores)
        wall_s = time.perf_counter() - began
        grown = _folder_size(venv) - before
    note = "download included, if pip had not kept the packages"
    return Row(part="install", name=NEW, repeats=1, median_ms=1000 * wall_s, disk_mb=grown / 1e6, note=note)


def _needed(name: str, found: set[str]) -> set[str]:
    """Return the packages that ``name`` needs without extras, itself included, of those that are installed."""
    try:
        requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # for another system, or another Python
        return found
    found.add(name)
    for requirement in requirements:
        needed = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        if "extra ==" not in requirement and needed not in found:
            _needed(needed, found)
    return found


def _size_of(name: str) -> int:
    if name == "thymos":  # whose files a clone's metadata does not list
        return _folder_size(Path(__file__).resolve().parents[1])
    files = (file.locate() for file in metadata.files(name) or [])
    return sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file())


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
