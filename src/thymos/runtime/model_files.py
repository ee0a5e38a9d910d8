"""A model's files, read with care: each of bounded size and checked by its SHA-256, and nothing in them is executed.

And graphs that are ready to run, in whatever process.
"""

import hashlib
import io
import os
import re
import stat
import threading
import weakref
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from thymos.errors import BundleError
from thymos.files import bounded_bytes, parsed_json

if TYPE_CHECKING:
    import onnxruntime

_WHERE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.cc:\d+ \w+ )?")
"""Where in its source onnxruntime found a fault: before what it says."""
MOST_BYTES = 1 << 30
"""Of one file: no model here comes near, and a link to a device must not fill the memory."""
MOST_TABLE_BYTES = 64 << 20
"""Of what a file of arrays unpacks to; heads and distributions are below one."""
MOST_ABOUT_BYTES = 4 << 20
"""Of a file that describes a model, or a voice."""
_AT_ONCE_BYTES = 64 << 20
"""A larger file is hashed piece by piece before it is read: a link to gigabytes of nothing is none of a model's."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model.

    Attributes:
        folder: where they lie.
        digests: SHA-256 of each, in hexadecimal, by its name.
        told_by: the file that tells the digests.
    """

    folder: Path
    digests: Mapping[str, str]
    told_by: str

    def content(self, name: str) -> bytes:
        """Return what the file of that name holds.

        Raises:
            BundleError: it cannot be read, is too large, or is another file than the one described.
        """
        expected = self.digests.get(name)
        if expected is None:
            raise BundleError(f"{self.folder / self.told_by} gives no SHA-256 of {name}")
        path = self.folder / name
        if _large_file_differs(path, expected) or sha256(content := bounded_content(path)) != expected:
            raise BundleError(
                f"{path} is not the file that {self.told_by} describes (its SHA-256 differs): get it anew"
            )
        return content

    def table(self, name: str) -> NDArray[np.float32]:
        """Return the table in a ``.npy`` file: float32, of at least two rows.

        Raises:
            BundleError: as ``content``, or it is no such table.
        """
        content = self.content(name)
        if len(content) > MOST_TABLE_BYTES:
            raise BundleError(f"{self.folder / name} is larger than any model's")
        try:
            array = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:  # a header can be wrong in as many ways as there are exceptions
            raise BundleError(f"{self.folder / name} is no array: {_first_line(error)}") from None
        if (
            not isinstance(array, np.ndarray)
            or array.dtype != np.float32
            or array.ndim != 2
            or len(array) < 2
            or not np.isfinite(array).all()
        ):
            raise BundleError(f"{self.folder / name} is not a table of finite 32-bit numbers")
        return np.asarray(array, np.float32)

    def arrays(self, name: str) -> dict[str, NDArray[np.float32]]:
        """Return the arrays in a ``.npz`` file, by their names: float32.

        Raises:
            BundleError: as ``content``, or it is no such file.
        """
        content = self.content(name)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                too_large = sum(member.file_size for member in archive.infolist()) > MOST_TABLE_BYTES
            arrays = {} if too_large else _unpacked(content)
        except Exception as error:  # an archive can be wrong in as many ways as there are exceptions
            raise BundleError(f"{self.folder / name} holds no arrays: {_first_line(error)}") from None
        if too_large:
            raise BundleError(f"{self.folder / name} unpacks to more than any model")
        if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
            raise BundleError(f"{self.folder / name} does not hold finite 32-bit numbers alone")
        return arrays


def _unpacked(content: bytes) -> dict[str, NDArray[np.float32]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {each: file[each] for each in file.files}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def sha256(content: bytes) -> str:
    """Return the SHA-256 of ``content``, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _large_file_differs(path: Path, expected: str) -> bool:
    """Return whether the file at ``path`` is a large one of another SHA-256, in little memory; what cannot be told is
    left to ``bounded_content``."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or not _AT_ONCE_BYTES < status.st_size <= MOST_BYTES:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != expected
    except OSError:
        return False


def bounded_content(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what the file at ``path`` holds.

    Raises:
        BundleError: it cannot be read, is no regular file, or is larger than ``most_bytes``.
    """
    try:
        return bounded_bytes(path, most_bytes)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Return what the file at ``path``, which describes a model or a voice, says.

    Raises:
        BundleError: it cannot be read, is larger than any such file, or is no JSON.
    """
    content = bounded_content(path, MOST_ABOUT_BYTES)
    try:
        return parsed_json(content)
    except ValueError:
        raise BundleError(f"{path} is damaged: it is no JSON") from None


class GraphSession:
    """A graph that is ready to run, by any number of threads at once, and in a child process after a fork, too.

    A child of a fork has no threads but its own. What another thread held as it ran the graph stays locked there for
    ever: so a child that was forked meanwhile opens the graph anew.
    """

    def __init__(self, start: "Callable[[], onnxruntime.InferenceSession]"):
        """Open it by ``start``, which a child may call again."""
        self._start, self._lock, self._generation = start, threading.Lock(), _Forks.generation
        self._session = start()

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return ``outputs`` for ``inputs``."""
        if self._generation != _Forks.generation:
            self._open_anew()
        thread = threading.get_ident()
        _Forks.running.add(thread)
        try:
            answers: list[NDArray[np.float32]] = self._session.run(outputs, inputs)
            return answers
        finally:
            _Forks.running.discard(thread)

    def get_inputs(self) -> Sequence[Any]:
        """Return what it takes."""
        inputs: Sequence[Any] = self._session.get_inputs()
        return inputs

    def get_outputs(self) -> Sequence[Any]:
        """Return what it tells."""
        outputs: Sequence[Any] = self._session.get_outputs()
        return outputs

    def _open_anew(self) -> None:
        with self._lock:
            if self._generation != _Forks.generation:
                _Forks.left_behind.append(self._session)  # its end would wait for what is locked, too
                self._session, self._generation = self._start(), _Forks.generation


class _Forks:
    """What a fork leaves behind in its child."""

    generation: ClassVar[int] = 0
    """Counts forks that other threads than the forking one were running a graph at."""
    running: ClassVar[set[int]] = set()
    """Threads that run a graph now."""
    left_behind: ClassVar[list[Any]] = []
    sessions: ClassVar[weakref.WeakSet[GraphSession]] = weakref.WeakSet()

    @classmethod
    def in_child(cls) -> None:
        # Who was running is known only here, by what the child was left: between a hook before the fork and the fork
        # itself others go on. The thread that forked has the name in the child that it had before.
        cls.generation += bool(cls.running - {threading.get_ident()})
        cls.running.clear()
        for session in list(cls.sessions):
            session._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Forks.in_child)


def open_session(graph: bytes, path: Path, data: Mapping[str, bytes] | None = None) -> GraphSession:
    """Return a session of ``graph`` that uses one thread: files and windows are what is shared out among cores.

    With more, sums would be taken in another order, and the last digits of an answer hang on the machine.

    Args:
        graph: as ONNX.
        path: where it lies, for the words of an error.
        data: the contents of the files that tensors of the graph lie in, by the names that it calls them: onnxruntime
            opens no file itself.

    Raises:
        BundleError: the graph cannot be run, or points at another file or past the end of one.
    """
    session = GraphSession(partial(_opened, graph, path, dict(data or {})))
    _Forks.sessions.add(session)
    return session


def _opened(graph: bytes, path: Path, data: Mapping[str, bytes]) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Memory that inputs of one length needed is of little use to the next, and a long file must stay flat.
    options.enable_mem_pattern = False
    # Without any, it would look for a file that the graph names in the folder that the process happens to be in.
    files = data or {"": b""}
    sizes = [len(content) for content in files.values()]
    options.add_external_initializers_from_files_in_memory(list(files), list(files.values()), sizes)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        reason = _WHERE.sub("", _first_line(error))
        raise BundleError(f"{path} is no graph that this onnxruntime can run: {reason}") from None
