"""Measure: every row of the report, each in a process of its own."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from thymos.audio import read_waveform
from thymos.bench.child import BenchError, NotInstalledError, run_child, run_job
from thymos.bench.machine import this_machine
from thymos.bench.plan import COMPARE, EGEMAPS, PEERS, SILERO, Plan
from thymos.bench.report import COMMAND, IMPORT, OWN, TORCH_ANSWER, Part, Report, Row, timed_row
from thymos.bench.size import NEW, installed_row, new_row
from thymos.bench.sound import RATE_HZ, make_clips
from thymos.runtime.bundle import find_bundle, read_about

_PEAK = "import atexit, sys\nfrom thymos.bench.machine import peak_memory_mb\n"
_PEAK += "atexit.register(lambda: print(peak_memory_mb(), file=sys.stderr))\n"


def measure(
    paths: Sequence[str],
    plan: Plan,
    model: Path | None = None,
    peer_python: str | None = None,
    quick: bool = False,
    began: Callable[[str], None] = lambda name: None,
) -> Report:
    """Measure all that ``plan`` says, and return the report.

    Args:
        paths: recordings of speech to measure with.
        plan: how much.
        model: folder of the bundle; None: the one that ``thymos predict`` would take.
        peer_python: a Python that has openSMILE, if this one has not.
        quick: whether to call the report quick.
        began: called with the name of what is measured next.

    Raises:
        BenchError: a recording cannot be read, or Thymos itself not be measured; a peer that cannot be is a row that
            says so.
        BundleError: there is no model.
    """
    machine = this_machine()
    start = time.perf_counter()
    folder = find_bundle(model)
    about = read_about(folder)
    with tempfile.TemporaryDirectory(prefix="thymos-bench-") as temporary:
        clips = make_clips(paths, plan.clips_s, Path(temporary))
        bench = _Bench(plan, folder, Path(temporary), clips, peer_python, began)
        rows = [*bench.starts(), *bench.files(), bench.stream(), *bench.long_files(), *bench.install()]
    return Report(
        machine=machine,
        threads=plan.threads,
        quick=quick,
        model=f"{about.name} {about.version}",
        wall_s=time.perf_counter() - start,
        rows=tuple(rows),
    )


class _Bench:
    """One run of all measurements over the same clips."""

    def __init__(
        self,
        plan: Plan,
        model: Path,
        folder: Path,
        clips: list[Path],
        peer_python: str | None,
        began: Callable[[str], None],
    ):
        self.plan, self.model, self.folder, self.clips = plan, model, folder, clips
        self.peer_python, self.began = peer_python, began
        self.files_job = {
            "model": str(model),
            "files": [str(clip) for clip in clips],
            "budget_s": plan.files_budget_s,
            "least": plan.least_files,
        }

    def starts(self) -> Iterator[Row]:
        """Time new processes, all kinds in turns, so that a drift of the machine is everybody's."""
        threads = str(self.plan.threads)
        clip = self._spoken_clip()
        predict = ["predict", str(clip), "--model", str(self.model), "--threads", threads]
        commands: dict[str, list[str]] = {
            "Python itself": ["-c", "pass"],
            IMPORT: ["-c", "import thymos"],
            COMMAND: ["-m", "thymos", *predict],
        }
        peaks = {
            IMPORT: self._peak_mb("import thymos"),
            COMMAND: self._peak_mb(
                f"import runpy\nsys.argv[1:] = {predict!r}\nrunpy.run_module('thymos', None, '__main__')"
            ),
        }
        missing, notes = None, {COMMAND: "its exit included; files are in the system's cache"}
        self.began(TORCH_ANSWER)
        try:
            torch_model = run_job("torch_way", {"model": str(self.model), "folder": str(self.folder / "torch")}, 1)
            words = [torch_model["folder"], str(clip), threads]
            peaks[TORCH_ANSWER] = self._peak_mb(
                f"import runpy\nsys.argv[1:] = {words!r}\nrunpy.run_module('thymos.bench.torch_way', None, '__main__')"
            )
            notes[TORCH_ANSWER] = torch_model["note"]
            commands[TORCH_ANSWER] = ["-m", "thymos.bench.torch_way", *words]
        except BenchError as error:
            missing = Row(part="start", name=TORCH_ANSWER, missing=str(error))
        taken: dict[str, list[tuple[float, float | None]]] = {name: [] for name in commands}
        for number in range(self.plan.starts):
            for name, words in commands.items():
                self.began(f"start {number + 1} of {self.plan.starts}: {name}")
                done = run_child([sys.executable, *words], self.plan.threads)
                taken[name].append((done.wall_s, done.cpu_s))
        for name, times in taken.items():
            wall_s, cpu_s = zip(*times, strict=True)
            yield timed_row("start", name, wall_s, cpu_s, peak_mb=peaks.get(name), note=notes.get(name, ""))
        if missing is not None:
            yield missing

    def files(self) -> Iterator[Row]:
        """Time whole files, heard by Thymos and by each peer."""
        yield self._files_row(OWN, "own_jobs", {"job": "files"}, None)
        for peer in self.plan.peers:
            name = PEERS[peer]
            try:
                if peer == SILERO:
                    yield self._files_row(name, "own_jobs", {"job": "gate"}, None)
                elif peer in (EGEMAPS, COMPARE):
                    features = "eGeMAPSv02" if peer == EGEMAPS else "ComParE_2016"
                    yield self._files_row(name, "opensmile_peer", {"feature_set": features}, self.peer_python)
                else:
                    yield self._files_row(name, "torch_peers", {"shape": peer}, None)
            except NotInstalledError as error:
                yield Row(part="files", name=name, missing=str(error))
            except BenchError as error:
                yield Row(part="files", name=name, missing=f"failed: {error}")

    def stream(self) -> Row:
        """Time the hops of a stream."""
        self.began("a stream")
        plan = self.plan
        job = self._speech(plan.stream_s) | {"job": "stream", "block_s": plan.block_s, "hop_s": plan.hop_s}
        done = run_job("own_jobs", job, plan.threads)
        name = f"hop of {plan.hop_s:g} s"
        if not done["wall_s"]:
            return Row(part="stream", name=name, missing="nobody speaks in these recordings")
        longest = 1000 * sorted(done["longest_block_s"])[len(done["longest_block_s"]) // 2]
        note = (
            f"blocks of {1000 * plan.block_s:g} ms at {RATE_HZ} Hz; longest block of a hop: {longest:.1f} ms (median)"
        )
        if done["resting"]:
            note += f"; {done['resting']} hops without speech left out"
        row = timed_row("stream", name, done["wall_s"], done["cpu_s"], peak_mb=done["peak_mb"], note=note)
        return row.model_copy(update={"sound_s": done["sound_s"]})

    def long_files(self) -> Iterator[Row]:
        """Time one file of each length."""
        for seconds in self.plan.lengths_s:
            name = f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"
            self.began(f"a file of {name}")
            job = self._speech(60) | {"job": "long", "seconds": seconds}
            done = run_job("own_jobs", job, self.plan.threads)
            note = f"{done['wall_s'][0]:.1f} s in all"
            yield timed_row("long", name, done["wall_s"], done["cpu_s"], done["sound_s"], done["peak_mb"], note)

    def install(self) -> Iterator[Row]:
        """Measure the light install's size, and if planned how long it takes."""
        yield installed_row()
        if self.plan.install:
            self.began("an install")
            try:
                yield new_row()
            except BenchError as error:
                yield Row(part="install", name=NEW, missing=str(error))

    def _files_row(self, name: str, module: str, job: dict[str, str], python: str | None) -> Row:
        self.began(name)
        done = run_job(module, self.files_job | job, self.plan.threads, python)
        part: Part = "files"
        return timed_row(
            part, name, done["wall_s"], done["cpu_s"], done["sound_s"], done["peak_mb"], done.get("note", "")
        )

    def _speech(self, seconds: float) -> dict[str, object]:
        """Return the part of a job that says which files make ``seconds`` of speech."""
        least, total_s = 0, 0.0
        while least < len(self.clips) and total_s < seconds:
            total_s += read_waveform(self.clips[least]).duration_s
            least += 1
        return {"model": str(self.model), "files": [str(clip) for clip in self.clips[:least]]}

    def _spoken_clip(self) -> Path:
        """Return the first clip in which an emotion is heard, so that a start does all of the work.

        Raises:
            BenchError: there is none among the first ones.
        """
        for clip in self.clips[:10]:
            words = ["predict", str(clip), "--model", str(self.model), "--format", "jsonl"]
            done = run_child([sys.executable, "-m", "thymos", *words], self.plan.threads)
            if json.loads(done.stdout)["emotion"] is not None:
                return clip
        raise BenchError("nobody speaks in the recordings to measure with")

    def _peak_mb(self, code: str) -> float | None:
        """Run ``code`` once, untimed: it tells the memory, and files are in the system's cache afterwards."""
        said = run_child([sys.executable, "-c", _PEAK + code], self.plan.threads).stderr.splitlines()[-1]
        return None if said == "None" else float(said)
