"""The child process of ``graph_check.py``, never imported: runs a graph once, within bounds that the kernel keeps.

It is told the graph's file and its SHA-256, the same of the file that its tensors lie in (or two empty words), the
outputs to ask for with commas between them, how many samples to hear, and the bounds. It writes that it has begun, and
one sentence where the graph cannot be used. It imports nothing of Thymos, so that it starts fast.
"""

import hashlib
import re
import resource
import sys
from pathlib import Path

import numpy as np
import onnxruntime

_WHERE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (\S+\.cc:\d+ \w+ )?")
"""Where in its source onnxruntime found a fault: before what it says."""
_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")
"""How onnxruntime says that there was none."""
_LEVEL = 0.1
"""Standard deviation of the noise that is heard, full scale 1."""


def main() -> None:
    """Run the graph, or say why it cannot be."""
    print("begun", flush=True)
    graph, graph_sha256, tensors, tensors_sha256, outputs, samples, memory_bytes, cpu_s = sys.argv[1:]
    content = _content(graph, graph_sha256)
    files = {Path(tensors).name: _content(tensors, tensors_sha256)} if tensors else {"": b""}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_mem_pattern = False
    sizes = [len(each) for each in files.values()]
    options.add_external_initializers_from_files_in_memory(list(files), list(files.values()), sizes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), int(cpu_s)))
    # What is mapped privately and may be written: the libraries' own address space does not count.
    taken = _taken_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (taken + int(memory_bytes), taken + int(memory_bytes)))
    noise = np.random.default_rng(0).normal(0, _LEVEL, (1, int(samples))).astype(np.float32)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class in common
        _say("is no graph that this onnxruntime can run", error)
        return
    if [value.name for value in session.get_inputs()] != ["waveform"]:
        return  # which the parent sees, too
    try:
        answers = session.run(outputs.split(","), {"waveform": noise})
    except Exception as error:
        _say(f"does not take {samples} samples", error)
        return
    if not all(np.isfinite(each).all() for each in answers):
        print("answers with NaN or infinity")


def _say(sentence: str, error: Exception) -> None:
    short = isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)
    reason = _WHERE.sub("", next(iter(str(error).splitlines()), type(error).__name__))
    print("takes more memory than any model of Thymos" if short else f"{sentence}: {reason}")


def _content(path: str, sha256: str) -> bytes:
    content = Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        print("was changed while it was read")
        sys.exit()
    return content


def _taken_bytes() -> int:
    """Return what counts towards RLIMIT_DATA by now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
