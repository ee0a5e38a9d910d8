"""A graph that somebody else may have made runs first in a process of its own, within bounds that the kernel keeps.

Operators that only reckon can still ask for any amount of memory, or meet a fault of onnxruntime's. So a graph that
does not come with Thymos hears 30 s of noise, or one window, in ``probe_worker.py``; what passes is noted in the cache
by its digest, and not asked again. Where no such process can be started, or the system keeps no bounds, there is none.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from thymos.cache import cache_place
from thymos.errors import BundleError
from thymos.files import write_text

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
