"""A model's files, read with care: each of bounded size and checked by its SHA-256, and nothing in them is executed."""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from thymos.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime

_WHERE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.cc:\d+ \w+ )?")
"""Where in its source onnxruntime found a fault: before what it says."""
MOST_BYTES = 1 << 30
"""Of one file: no model here comes near, and a link to a device must not fill the memory."""


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
        content = bounded_content(self.folder / name)
        expected = self.digests.get(name)
        if expected is None:
            raise BundleError(f"{self.folder / self.told_by} gives no SHA-256 of {name}")
        if hashlib.sha256(content).hexdigest() != expected:
            raise BundleError(
                f"{self.folder / name} is not the file that {self.told_by} describes (its SHA-256 differs): get it anew"
            )
        return content

    def table(self, name: str) -> NDArray[np.float32]:
        """Return the table in a ``.npy`` file: float32, of at least two rows.

        Raises:
            BundleError: as ``content``, or it is no such table.
        """
        try:
            array = np.load(io.BytesIO(self.content(name)), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BundleError(f"{self.folder / name} is no array: {error}") from None
        if array.dtype != np.float32 or array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
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
                if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                    raise BundleError(f"{self.folder / name} unpacks to more than any model")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {each: file[each] for each in file.files}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.folder / name} holds no arrays: {error}") from None
        if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
            raise BundleError(f"{self.folder / name} does not hold finite 32-bit numbers alone")
        return arrays


def bounded_content(path: Path) -> bytes:
    """Return what the file at ``path`` holds.

    Raises:
        BundleError: it cannot be read, or is larger than ``MOST_BYTES``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise BundleError(f"{path} is larger than any model: {MOST_BYTES >> 20} MiB are read at most")
    return content


def open_session(graph: bytes, path: Path, data: Mapping[str, bytes] | None = None) -> "onnxruntime.InferenceSession":
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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Memory that inputs of one length needed is of little use to the next, and a long file must stay flat.
    options.enable_mem_pattern = False
    # Without any, it would look for a file that the graph names in the folder that the process happens to be in.
    files = dict(data or {"": b""})
    sizes = [len(content) for content in files.values()]
    options.add_external_initializers_from_files_in_memory(list(files), list(files.values()), sizes)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        reason = _WHERE.sub("", str(error).splitlines()[0])
        raise BundleError(f"{path} is no graph that this onnxruntime can run: {reason}") from None
