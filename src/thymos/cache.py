"""The cache of measurements and features: where it lies, and folders that are written whole or not at all."""

import atexit
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from thymos.errors import ThymosWarning


class CacheWarning(ThymosWarning):
    """Nothing can be kept between calls: work is done anew each time, with the same results."""


def default_cache_dir() -> Path:
    """Return where measurements and features are kept: ``THYMOS_CACHE``, or the user's cache folder.

    Where neither can be written, as in a container without a home, it is a temporary folder that ends with this
    process, and a ``CacheWarning`` says so.
    """
    place = cache_place()
    if place is not None:
        try:
            place.mkdir(parents=True, exist_ok=True)
            if os.access(place, os.W_OK | os.X_OK):
                return place
        except OSError:
            pass
    return _passing_folder(place)


def cache_place() -> Path | None:
    """Return where the cache should lie, whether or not that can be written; None where there is no home."""
    given = os.environ.get("THYMOS_CACHE")
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thymos"
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None


@cache
def _passing_folder(place: Path | None) -> Path:
    """Return a folder of this process alone, the same at each call."""
    where = "there is no home folder" if place is None else f"{place} cannot be written"
    warnings.warn(f"{where}, so nothing is kept for the next time: set THYMOS_CACHE", CacheWarning, stacklevel=3)
    folder, owner = Path(tempfile.mkdtemp(prefix="thymos-cache-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked child ends earlier
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def raw_to_npy(raw: Path, npy: Path, shape: tuple[int, ...], dtype: str = "<f4") -> None:
    """Give the values a header, which can only be written once their number is known."""
    import numpy as np

    with npy.open("wb") as target, raw.open("rb") as source:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(target, header)
        shutil.copyfileobj(source, target, 1 << 22)
    raw.unlink()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; it takes that name only if the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(folder)
    temporary = folder.parent / f".{folder.name}.{platform.node()}.{os.getpid()}.{os.urandom(8).hex()}"
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_left_behind(folder: Path) -> None:
    """Remove temporary folders of this machine's killed processes: they would never be used, and they are large."""
    for left in folder.parent.glob(f".{folder.name}.{platform.node()}.*"):
        process = left.name.split(".")[-2]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, PermissionError):  # not ours
            pass
