"""The cache of measurements and features: where it lies, folders that are written whole or not at all, sealed files.

A sealed file is kept from one call to the next with a digest: what was changed, cut off or swapped is noticed. The
digest is of the content, of the files that belong to it, and of the name that it was kept under. Whoever finds that one
does not fit makes the file again, and says so. It guards against accidents, not against who writes digests, too.
"""

import atexit
import hashlib
import io
import json
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.errors import ThymosWarning
from thymos.files import MOST_TEXT_BYTES, bounded_bytes, parsed_json, whole_file, write_json


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


_KEY = "sealed"
_FOLDER_SEAL = "sealed.json"
_DIGEST_BYTES = 32


class KeptFileWarning(ThymosWarning):
    """A file that was kept is not as it was written."""


def write_sealed(path: Path, content: dict[str, Any], beside: Sequence[Path] = (), name: str | None = None) -> None:
    """Write ``content`` to ``path`` as JSON, with a digest of it and of the files ``beside``, which are there already.

    ``name`` is what it is kept under, where that is not the file's name.
    """
    digests = {file.name: _file_digest(file) for file in beside}
    seal = {"sha256": _content_digest(name or path.name, content, digests), "files": digests}
    write_json(path, content | {_KEY: seal})


def read_sealed(path: Path, beside: Sequence[Path] = (), name: str | None = None) -> dict[str, Any] | None:
    """Return what ``write_sealed`` was given; None where it is not there, or does not fit, which is said."""
    if not path.is_file():
        return None
    try:
        content = opened_seal(parsed_json(bounded_bytes(path, MOST_TEXT_BYTES)), beside, name or path.name)
    except (OSError, ValueError):
        content = None
    if content is None:
        warnings.warn(f"{path} is not as it was written, so it is made again", KeptFileWarning, stacklevel=3)
    return content


def opened_seal(content: Any, beside: Sequence[Path], name: str) -> dict[str, Any] | None:
    """Return ``content``, which was read from a sealed file, without its digest; None where it does not fit."""
    seal = content.pop(_KEY, None) if isinstance(content, dict) else None
    if not isinstance(seal, dict) or not isinstance(content, dict):
        return None
    try:
        digests = {file.name: _file_digest(file) for file in beside}
    except OSError:
        return None
    fits = seal.get("sha256") == _content_digest(name, content, digests) and seal.get("files") == digests
    return content if fits else None


def save_sealed_array(path: Path, array: NDArray[Any]) -> None:
    """Write ``array`` to ``path``, whole or not at all: as ``numpy.save`` does, and a digest after it."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    with whole_file(path) as temporary:
        temporary.write_bytes(content + _array_digest(path, content))


def is_sealed_array(path: Path) -> bool:
    """Return whether ``path`` is as ``save_sealed_array`` wrote it; what is there and is not so is said."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if content[-_DIGEST_BYTES:] == _array_digest(path, content[:-_DIGEST_BYTES]):
        return True
    warnings.warn(f"{path} is not as it was written, so it is made again", KeptFileWarning, stacklevel=3)
    return False


def seal_folder(folder: Path, name: str) -> None:
    """Seal all files in ``folder``, which is kept under ``name``."""
    write_sealed(folder / _FOLDER_SEAL, {}, sorted(folder.iterdir()), name)


def is_sealed_folder(folder: Path) -> bool:
    """Return whether ``folder`` is as it was sealed under its name; what is there and is not so is said."""
    if not folder.is_dir():
        return False
    files = sorted(file for file in folder.iterdir() if file.name != _FOLDER_SEAL)
    if read_sealed(folder / _FOLDER_SEAL, files, folder.name) is not None:
        return True
    if not (folder / _FOLDER_SEAL).is_file():
        warnings.warn(f"{folder} is not as it was written, so it is made again", KeptFileWarning, stacklevel=3)
    return False


def _content_digest(name: str, content: dict[str, Any], files: dict[str, str]) -> str:
    as_read = json.loads(json.dumps([name, content, files], allow_nan=False))  # where every key is a word
    told = json.dumps(as_read, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _array_digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + b"\n" + content).digest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
