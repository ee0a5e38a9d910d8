"""Files that are kept from one call to the next, each with a digest: what was changed, cut off or swapped is noticed.

A digest is of the content, of the files that belong to it, and of the name that it was kept under. Whoever finds that
one does not fit makes the file again, and says so. It guards against accidents, not against who writes digests, too.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.errors import ThymosWarning
from thymos.files import MOST_TEXT_BYTES, bounded_bytes, parsed_json, whole_file, write_json

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
