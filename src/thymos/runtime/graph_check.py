"""A graph that somebody else may have made is looked through, and then runs first in a process of its own.

ONNX can do more than a model of emotions needs: loops without end, branches, graphs within graphs, text. None of that
is run: there may be only operators that reckon, and only so many of them. The file is read here as what it is, a
protocol buffer, of which a few fields matter, since the library onnx is no part of the light install.

Operators that only reckon can still ask for any amount of memory, or meet a fault of onnxruntime's. So a graph that
does not come with Thymos hears 30 s of noise, or one window, in ``probe_worker.py``, within bounds that the kernel
keeps; what passes is noted in the cache by its digest, and not asked again. Where no such process can be started, or
the system keeps no bounds, there is none.

Sources: https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from thymos.cache import cache_place
from thymos.errors import BundleError
from thymos.files import write_text

# Of graphs that torch traces, of the encoder's that is written by hand, and of the VAD; then what only reckons value
# by value and so could stand beside them.
_OURS = (
    "Abs Add BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Expand Flatten GRU Gather Gelu Gemm "
    "Greater Identity LSTM LayerNormalization Less Log MatMul Max MaxPool Mod Mul Pad Reciprocal ReduceMax ReduceMean "
    "Relu Reshape STFT Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Unsqueeze Where"
)
_LIKE_OURS = (
    "And AveragePool Ceil Cos Elu Equal Erf Exp Floor GlobalAveragePool GlobalMaxPool GreaterOrEqual HardSigmoid "
    "HardSwish InstanceNormalization LeakyRelu LessOrEqual LogSoftmax Min Neg Not Or PRelu Pow ReduceMin ReduceSum "
    "Selu Sign Sin Softplus"
)
OPERATORS = {("", word) for word in f"{_OURS} {_LIKE_OURS}".split()} | {
    ("com.microsoft", "DynamicQuantizeMatMul"),
    ("com.microsoft", "MultiHeadAttention"),
}
"""Domain and name of every operator that is run."""
MOST_NODES = 10_000
MOST_TENSORS = 10_000
MOST_VALUES = 1 << 29
"""In all tensors that a graph holds or points at."""

_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR = 5
_ATTRIBUTE_PLAIN = {1, 2, 3, 4, 5, 7, 8, 9, 13, 20}
"""Name, number, text or tensor, or several; the others are graphs, types and sparse tensors."""
_TENSOR_SIZES = 1
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5
Field = tuple[int, int | memoryview]
"""Number of a field, and its value: a number, or bytes."""


class _Damaged(Exception):
    """It is no protocol buffer."""


def check_graph(content: bytes, path: Path) -> None:
    """Check that ``content`` is a graph of ``OPERATORS`` alone, and no larger than any model's.

    Raises:
        BundleError: it is not; ``path`` is where it lies.
    """
    try:
        reason = _complaint(memoryview(content))
    except _Damaged:
        raise BundleError(f"{path} is no graph that this onnxruntime can run: it is damaged, or none") from None
    if reason is not None:
        raise BundleError(f"{path} {reason}")


def _complaint(model: memoryview) -> str | None:
    graphs = []
    for number, value in _fields(model):
        if number in (_MODEL_FUNCTIONS, _MODEL_TRAINING):
            return "defines operators of its own, which are not run"
        if number == _MODEL_GRAPH:
            graphs.append(_as_bytes(value))
    if len(graphs) != 1:
        raise _Damaged
    nodes, tensors, values = 0, 0, 0
    for number, value in _fields(graphs[0]):
        if number == _GRAPH_SPARSE:
            return "holds sparse tensors, which no model of Thymos has"
        if number == _GRAPH_NODE:
            nodes += 1
            said, more = _node(_as_bytes(value))
            if said is not None:
                return said
            values += more
        elif number == _GRAPH_TENSOR:
            tensors += 1
            values += _values_in(_as_bytes(value))
        if nodes > MOST_NODES or tensors > MOST_TENSORS or values > MOST_VALUES:
            return "is larger than any model of Thymos"
    return None


def _node(node: memoryview) -> tuple[str | None, int]:
    """Return what is wrong with a node, and how many values lie in its tensors."""
    words = {_NODE_OPERATOR: "", _NODE_DOMAIN: ""}
    seen, values = set(), 0
    for number, value in _fields(node):
        if number in words:
            if number in seen:  # readers differ in which of two they take
                raise _Damaged
            seen.add(number)
            words[number] = bytes(_as_bytes(value)).decode("utf-8", "replace")
        elif number == _NODE_ATTRIBUTE:
            for part, content in _fields(_as_bytes(value)):
                if part not in _ATTRIBUTE_PLAIN:
                    return "holds graphs within its graph, which are not run", 0
                if part == _ATTRIBUTE_TENSOR:
                    values += _values_in(_as_bytes(content))
    domain = "" if words[_NODE_DOMAIN] == "ai.onnx" else words[_NODE_DOMAIN]
    if (domain, words[_NODE_OPERATOR]) not in OPERATORS:
        name = f"{domain}.{words[_NODE_OPERATOR]}".lstrip(".")
        return f"has the operator {name!r}, which no model of Thymos has, so it is not run", 0
    return None, values


def _values_in(tensor: memoryview) -> int:
    """Return how many values a tensor says that it has."""
    count = 1
    for number, value in _fields(tensor):
        if number == _TENSOR_SIZES:
            sizes = [value] if isinstance(value, int) else list(_varints(value))
            for size in sizes:
                count = min(count * max(size, 1), MOST_VALUES + 1)
    return count


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message, those within others left as bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_LONG, _SHORT):
            length = 8 if kind == _LONG else 4
        else:
            raise _Damaged
        if number == 0 or length > len(message) - place:
            raise _Damaged
        yield number, message[place : place + length]
        place += length


def _varints(packed: memoryview) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the whole number at ``place``, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise _Damaged
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _Damaged


def _as_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Damaged
    return value


MEMORY_BYTES = 1 << 30
"""Beyond what libraries take; the shipped encoder needs a fifth for 30 s."""
CPU_S = 30
_CLOCK_S = 300
"""On a machine that is busy with other things, for the same seconds of processor time."""
_WORKER = Path(__file__).with_name("probe_worker.py")
_BEGUN = "begun"
"""What the child says first: whoever does not say it is no Python with onnxruntime."""
_VERSION = 1


@dataclass(frozen=True)
class Probe:
    """A graph, and how it is run.

    Attributes:
        graph: its file.
        graph_sha256: of its content.
        outputs: names of what is asked for.
        samples: how many it hears.
        tensors: the file that its tensors lie in; None: they lie in the graph.
        tensors_sha256: of its content.
    """

    graph: Path
    graph_sha256: str
    outputs: tuple[str, ...]
    samples: int
    tensors: Path | None = None
    tensors_sha256: str = ""

    def check(self) -> None:
        """Check that the graph can be run within the bounds, and answers with numbers.

        Raises:
            BundleError: it cannot, or does not.
        """
        mark = self._mark()
        if mark is not None and mark.is_file():
            return
        said = self._run()
        if said is None:
            return
        if said:
            raise BundleError(f"{self.graph} {said}")
        if mark is not None:
            with suppress(OSError):  # it is asked again the next time
                write_text(mark, "")

    def _mark(self) -> Path | None:
        import onnxruntime

        place = cache_place()
        told = {key: value for key, value in asdict(self).items() if key not in ("graph", "tensors")}
        key = json.dumps([_VERSION, onnxruntime.__version__, told], sort_keys=True)
        return None if place is None else place / "models" / hashlib.sha256(key.encode()).hexdigest()

    def _run(self) -> str | None:
        """Return what is wrong, nothing where nothing is, and None where there is no such process."""
        if os.name != "posix" or not sys.executable:
            return None
        words = [self.graph, self.graph_sha256, self.tensors or "", self.tensors_sha256, ",".join(self.outputs)]
        words += [self.samples, MEMORY_BYTES, CPU_S]
        # -P: beside the worker lie modules named as those of the standard library are.
        command = [sys.executable, "-P", str(_WORKER), *map(str, words)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_CLOCK_S
            )
        except subprocess.TimeoutExpired:
            return f"takes more than {_CLOCK_S} s to hear {self.samples} samples"
        except OSError:
            return None
        begun, _, said = done.stdout.decode("utf-8", "replace").partition("\n")
        if begun != _BEGUN:
            return None
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"takes more than {CPU_S} s of processor time to hear {self.samples} samples"
        if done.returncode:
            return f"makes onnxruntime fail (exit code {done.returncode})"
        return " ".join(said.split())
