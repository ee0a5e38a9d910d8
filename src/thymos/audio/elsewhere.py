"""Files that lie elsewhere: addresses such as ``s3://…`` or ``https://…``, by fsspec (extra ``remote``).

A file is copied here before it is heard, into a temporary file that has no name and a bound: decoders seek, and a
connection that ends halfway is no end of a recording. Whatever goes wrong on the way is that file's failure.

Source: https://filesystem-spec.readthedocs.io
"""

import glob
import importlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from thymos.errors import AudioAbsentError, AudioError, AudioFileError, MissingExtraError
from thymos.files import is_hidden

MOST_BYTES = 2 << 30
"""Of a file that is fetched."""
_PIECE_BYTES = 1 << 20
_KEPT = 4
"""Copies that are kept after they were heard: parts of one file come one after another."""
_CONNECT_S, _SILENT_S = 30, 60
"""How long a server of HTTP may take to answer, and from one piece to the next."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(://|::)")
_TELLS_CHANGE = (
    *("etag", "last-modified", "lastmodified", "last_modified", "mtime", "modified", "updated", "created"),
    *("content-md5", "digest", "md5hash", "generation", "checksum", "timemodified"),
)
"""What file systems call what changes with a file, in small letters."""


def is_address(word: str) -> bool:
    """Return whether ``word`` names a file by an address; a drive of Windows has one letter, and is none."""
    return _ADDRESS.match(word) is not None


@dataclass(frozen=True)
class RemoteFile:
    """A file that lies elsewhere, which can be heard as one that lies here.

    Attributes:
        url: its address.
        n_bytes: how large it is; None where nobody said.
        version: what changes when it does; empty where nobody said.
    """

    url: str
    n_bytes: int | None = None
    version: str = ""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """What it is called: its address."""
        return self.url

    @contextmanager
    def fetched(self) -> Iterator[IO[bytes]]:
        """Yield its content as an open file, which is gone afterwards; calls from several threads share one copy.

        Raises:
            AudioError: it cannot be fetched, or is larger than ``MOST_BYTES``.
            MissingExtraError: what reads such addresses is not installed.
        """
        copy = _copies.taken(self)
        try:
            with copy.lock:
                if copy.file is None:
                    copy.file = _fetched(self)
            with io.BufferedReader(_Reader(copy)) as file:
                yield file
        finally:
            _copies.given_back(self, copy)


def remote_file(url: str) -> RemoteFile:
    """Return what is known of the file at ``url``.

    Raises:
        AudioError, MissingExtraError: as ``remote_files``, or it is a folder.
    """
    (found,) = remote_files(url, lambda name: True, as_file=True)
    return found


def remote_files(url: str, wanted: Callable[[str], bool], as_file: bool = False) -> list[RemoteFile]:
    """Return the files that ``url`` names: itself, or what a pattern matches; of folders, those below, in order.

    Args:
        url: an address that fsspec knows: of a file, a folder, or a pattern with ``*``.
        wanted: whether a file of that name, found in a folder, is taken; hidden ones never are.
        as_file: take it for a file's, whatever letters are in it.

    Raises:
        AudioError: nothing is there, or it cannot be looked at.
        MissingExtraError: what reads such addresses is not installed.
    """
    system, path = _opened(url)
    is_http = system.protocol in ("http", ("http", "https"))
    with _one_sentence("looked at"):
        if not as_file and ("*" in path if is_http else glob.has_magic(path)):
            matches = system.glob(path, detail=True)
            if not matches:
                raise AudioAbsentError("matches no file")
            found = [
                each
                for name, each in sorted(matches.items())
                if each.get("type") != "directory" and not is_hidden(PurePosixPath(name).name)
            ]
            return [_told(system, each) for each in found]
        info: dict[str, Any] = {"type": "directory"} if is_http and path.endswith("/") else system.info(path)
        if info.get("type") != "directory":
            return [RemoteFile(url, info.get("size"), _version(info))]
        if as_file:
            raise AudioFileError("is a folder, not a sound file")
        below = _below(system, path, wanted)
    if not below:
        raise AudioError("is a folder without recordings")
    return [_told(system, info) for info in below]


def _below(system: Any, path: str, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    top = len(PurePosixPath(path).parts)
    found = []
    for name, info in system.find(path, detail=True).items():
        parts = PurePosixPath(name).parts[top:]
        if parts and not any(map(is_hidden, parts)) and wanted(parts[-1]) and info.get("type") != "directory":
            # Files, then the folders inside, as in a folder that lies here.
            found.append(([(place < len(parts) - 1, part) for place, part in enumerate(parts)], info))
    return [info for _, info in sorted(found, key=lambda each: each[0])]


def _told(system: Any, info: dict[str, Any]) -> RemoteFile:
    return RemoteFile(system.unstrip_protocol(info["name"]), info.get("size"), _version(info))


def _version(info: dict[str, Any]) -> str:
    """Return what changes when a file does, of what its file system says of it."""
    small = {str(key).lower(): value for key, value in info.items()}
    told = [f"{key}={small[key]}" for key in _TELLS_CHANGE if small.get(key)]
    if small.get("size") is not None:
        told.append(f"size={small['size']}")
    return " ".join(told)


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of ``url`` and the path in it."""
    protocol = re.split(r"://|::", url, maxsplit=1)[0]
    try:
        fsspec = importlib.import_module("fsspec.core")
    except ImportError:
        raise MissingExtraError(f"{url} lies elsewhere, which needs fsspec: pip install 'thymos[remote]'") from None
    options: dict[str, Any] = {}
    try:
        if protocol in ("http", "https"):
            aiohttp = importlib.import_module("aiohttp")
            patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S)
            options["client_kwargs"] = {"timeout": patience}
        system, path = fsspec.url_to_fs(url, **options)
    except ImportError as error:
        if protocol in ("http", "https"):
            raise MissingExtraError(f"{url} needs the library aiohttp: pip install 'thymos[remote]'") from None
        raise MissingExtraError(f"{url} needs another library: {_words(error)}") from None
    except ValueError as error:
        kind = f"of a kind that is not known ({protocol})" if "not known" in str(error) else "that cannot be read"
        raise AudioFileError(f"is an address {kind}") from None
    except Exception as error:
        raise AudioFileError(f"cannot be reached: {_words(error)}") from None
    return system, path


def _fetched(file: RemoteFile) -> IO[bytes]:
    """Return a copy of ``file``."""
    if file.n_bytes is not None and file.n_bytes > MOST_BYTES:
        raise _too_large()
    system, path = _opened(file.url)
    options: dict[str, Any] = {}
    if system.protocol in ("http", ("http", "https")):  # not every server gives parts of a file
        options = {"block_size": 0, "size": file.n_bytes}
    try:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed where it is let go
    except OSError as error:
        raise AudioFileError(f"cannot be fetched: there is no temporary file ({error.strerror})") from None
    try:
        with _one_sentence("fetched"), system.open(path, "rb", **options) as source:
            n_bytes = 0
            while piece := source.read(_PIECE_BYTES):
                n_bytes += len(piece)
                if n_bytes > MOST_BYTES:
                    raise _too_large()
                copy.write(piece)
            copy.flush()
        if n_bytes == 0:
            raise AudioError("is empty (0 bytes)")
    except BaseException:
        copy.close()
        raise
    return copy


def _too_large() -> AudioError:
    return AudioError(f"is larger than {MOST_BYTES >> 20} MiB: copy it here, and hear the copy")


@contextmanager
def _one_sentence(done: str) -> Iterator[None]:
    """Turn what libraries of networks raise, which may be anything, into an error of one sentence."""
    try:
        yield
    except (AudioError, MissingExtraError):
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
        status = getattr(cause, "status", None)
        if status == 404 or (status is None and isinstance(cause, FileNotFoundError)):
            raise AudioAbsentError("does not exist there") from None
        said = f"the server answers {status} {getattr(cause, 'message', '')}".strip() if status else _words(cause)
        raise AudioFileError(f"cannot be {done}: {said}") from None


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@dataclass
class _Copy:
    file: IO[bytes] | None = None
    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Copies:
    """Copies of files, each while somebody reads it, and the last few after that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[RemoteFile, _Copy] = {}

    def taken(self, file: RemoteFile) -> _Copy:
        with self._lock:
            copy = self._of.pop(file, None) or _Copy()
            self._of[file] = copy  # the last of them now
            copy.users += 1
            return copy

    def given_back(self, file: RemoteFile, copy: _Copy) -> None:
        with self._lock:
            copy.users -= 1
            if copy.file is None and not copy.users:
                self._of.pop(file, None)
            idle = [each for each, kept in self._of.items() if not kept.users]
            for each in idle[: max(0, len(idle) - _KEPT)]:
                old = self._of.pop(each).file
                with suppress(OSError):
                    if old is not None:
                        old.close()

    def leave_to_parent(self) -> None:
        """Begin without any, in a child of a fork: there a file is at one place for both, and locks stay shut that
        other threads held."""
        self._lock, self._of = threading.Lock(), {}


_copies = _Copies()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copies.leave_to_parent)


class _Reader(io.RawIOBase):
    """One of several readers of a copy, each at a place of its own."""

    def __init__(self, copy: _Copy):
        self._copy, self._at = copy, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self._copy.file is not None
        with self._copy.lock:
            self._copy.file.seek(self._at)
            piece = self._copy.file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            assert self._copy.file is not None
            with self._copy.lock:
                base = self._copy.file.seek(0, io.SEEK_END)
        else:
            base = self._at if whence == io.SEEK_CUR else 0
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at
