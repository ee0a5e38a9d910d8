"""How fast Thymos is beside peers: the same files, one machine, one core, each row a process of its own.

    python benchmarks/peers/run.py --out docs               # about ten minutes: writes speed.json and speed.md
    python benchmarks/peers/run.py --quick FOLDER           # your own recordings, roughly, in a few minutes

Run it with the Python of Thymos's environment, with the peers installed: pip install -c constraints.txt
-r benchmarks/peers/requirements.txt. A peer that is not installed is a row that says so. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs import SHAPES
from page import COMMAND, IMPORT, OTHER_ANSWER, OWN, Measurement, beside, markdown, measurement, write

from thymos.machine import this_machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTALL = "pip install -c constraints.txt -r benchmarks/peers/requirements.txt"
PACKAGES = ("thymos", "numpy", "soundfile", "soxr", "onnxruntime", "torch", "transformers", "opensmile")
ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
"""For all processes: one thread, and no connection."""
PEERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "silero-vad": ("Silero VAD", "vad_files", {}),
    "opensmile-egemaps": ("openSMILE eGeMAPSv02", "opensmile_files", {"features": "eGeMAPSv02"}),
    "opensmile-compare": ("openSMILE ComParE 2016", "opensmile_files", {"features": "ComParE_2016"}),
    **{shape: (name, "network_files", {"shape": shape}) for shape, (_, _, name, _) in SHAPES.items()},
}
"""By the word that names each on the command line: what it is called in tables, its job, and what that takes."""
TEN_HOURS_S = 36_000.0


class JobError(Exception):
    """A process failed; the message says why."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    starts: int = 15
    clips_s: float = 300.0
    budget_s: float = 20.0
    """Everybody hears files in turn for so long, and at least ``least`` of them."""
    least: int = 3
    hops: int = 600
    hop_s: float = 0.5
    lengths_s: tuple[float, ...] = (60.0, 600.0, 1800.0)


QUICK = Plan(starts=3, clips_s=20.0, budget_s=2.0, least=1, hops=20, lengths_s=(40.0, 80.0))


@dataclass(frozen=True)
class Ended:
    """A process from its start to its end: seconds by the clock and of the processor, most memory, what it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    stdout: str


def run(command: Sequence[str]) -> Ended:
    """Run ``command`` to its end.

    Its peak of memory is at least this process's own, which Linux counts in; so nothing large is imported here.

    Raises:
        JobError: it failed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)  # it alone tells what this one process took
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if process.returncode:
        said = (stderr.strip() or "it said nothing").splitlines()[-1]
        absent = re.match(r"ModuleNotFoundError: No module named '?([^'.]+)", said)
        raise JobError(f"not installed: {absent[1]} ({INSTALL})" if absent else f"failed: {said}")
    return Ended(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, stdout)


def run_job(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run a job of jobs.py, and return what it found with its peak of memory."""
    ended = run([sys.executable, str(HERE / "jobs.py"), name, json.dumps(job)])
    return json.loads(ended.stdout.splitlines()[-1]) | {"peak_mb": ended.peak_mb}


def job_row(part: str, name: str, job_name: str, job: dict[str, Any]) -> Measurement:
    print(name, file=sys.stderr, flush=True)
    try:
        found = run_job(job_name, job)
    except JobError as error:
        return Measurement(part, name, missing=str(error))
    return measurement(
        part, name, found["wall_s"], found["cpu_s"], found.get("sound_s"), found["peak_mb"], found.get("note", "")
    )


def starts(plan: Plan, made: dict[str, Any], folder: Path, with_network: bool) -> Iterator[Measurement]:
    """New processes of each kind in turns, so that a drift of the machine is everybody's."""
    predict = ["-m", "thymos", "predict", made["spoken"], "--model", made["model"], "--threads", "1"]
    commands = {"Python itself": ["-c", "pass"], IMPORT: ["-c", "import thymos"], COMMAND: predict}
    if with_network:
        job = {"shape": "wav2vec2-base", "folder": str(folder / "network"), "file": made["spoken"]}
        try:
            run_job("save_network", job)
            commands[OTHER_ANSWER] = [str(HERE / "jobs.py"), "answer", json.dumps(job)]
        except JobError as error:
            yield Measurement("start", OTHER_ANSWER, missing=str(error))
    ended: dict[str, list[Ended]] = {name: [] for name in commands}
    for number in range(plan.starts + 1):
        print(f"start {number} of {plan.starts}", file=sys.stderr, flush=True)
        for name, words in commands.items():
            one = run([sys.executable, *words])
            if number:  # the first brings files into the system's cache
                ended[name].append(one)
    notes = {
        COMMAND: "its exit included; files are in the system's cache",
        OTHER_ANSWER: "libraries, random weights from disk, one clip's frames",
    }
    for name, ones in ended.items():
        walls, cpus = [one.wall_s for one in ones], [one.cpu_s for one in ones]
        peak_mb = max(one.peak_mb for one in ones)
        yield measurement("start", name, walls, cpus, peak_mb=peak_mb, note=notes.get(name, ""))


def install() -> Measurement:
    """The light install of this source into a new environment: what it takes of the disk and of time."""
    with tempfile.TemporaryDirectory() as folder:
        run([sys.executable, "-m", "venv", folder])
        before = _size(Path(folder))
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        ended = run([*pip, "-c", str(ROOT / "constraints.txt"), str(ROOT)])
        row = measurement("install", "pip install, new environment", [ended.wall_s], [ended.cpu_s])
        note = "download included, if pip had not kept the packages"
        return replace(row, disk_mb=(_size(Path(folder)) - before) / 1e6, note=note)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def measure(paths: Sequence[str], plan: Plan, peers: Sequence[str], model: str | None) -> tuple[str, list[Measurement]]:
    """Return the model's name, and all rows.

    Raises:
        JobError: the recordings cannot be used, or Thymos itself not be measured; a peer that cannot be is a row.
    """
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        folder = Path(temporary)
        clips = {"paths": list(paths), "least_s": plan.clips_s, "folder": temporary, "model": model}
        made = run_job("make_clips", clips)
        rows = list(starts(plan, made, folder, any(peer in SHAPES for peer in peers)))
        hearing = {"files": made["files"], "model": made["model"], "budget_s": plan.budget_s, "least": plan.least}
        thymos = job_row("files", OWN, "thymos_files", hearing)
        rows.append(thymos)
        for name, job_name, words in (PEERS[peer] for peer in peers):
            rows.append(beside(thymos, job_row("files", name, job_name, hearing | words)))
        own = {"model": made["model"], "speech": made["speech"], "hop_s": plan.hop_s}
        rows.append(job_row("stream", f"hop of {plan.hop_s:g} s", "stream", own | {"budget_s": 0, "least": plan.hops}))
        for seconds in plan.lengths_s:
            unit, word = (3600, "h") if seconds >= 3600 else (60, "min") if seconds % 60 == 0 else (1, "s")
            long = own | {"file": str(folder / "long.wav"), "seconds": seconds}
            rows.append(job_row("long", f"{seconds / unit:g} {word}", "long_file", long))
    return made["name"], rows


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=[str(ROOT / "data" / "mini-aesdd")], help="recordings of speech")
    parser.add_argument("--out", type=Path, help="write speed.json and speed.md to this folder instead of printing")
    parser.add_argument("--model", help="folder of a model")
    parser.add_argument("--peers", default=",".join(PEERS), help="whom to measure beside it, by commas, or none")
    parser.add_argument("--quick", action="store_true", help="few repeats: enough to see that all works")
    parser.add_argument("--long", action="store_true", help="hear a file of ten hours, too: 3.2 GB on disk")
    parser.add_argument("--install", action="store_true", help="install into a new environment, too")
    options = parser.parse_args(words)
    options.peers = [word for word in options.peers.split(",") if word != "none"]
    if unknown := [word for word in options.peers if word not in PEERS]:
        parser.error(f"--peers knows {', '.join(PEERS)} and none, not {', '.join(unknown)}")
    return options


def main() -> None:
    options = parse_arguments()
    machine, began = this_machine(PACKAGES), time.perf_counter()
    os.environ.update(ALONE)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the last core: the first serves interrupts
    plan = QUICK if options.quick else Plan()
    if options.long:
        plan = replace(plan, lengths_s=(*plan.lengths_s, TEN_HOURS_S))
    try:
        model, rows = measure(options.paths, plan, options.peers, options.model)
        if options.install:
            rows.append(install())
    except JobError as error:
        raise SystemExit(str(error)) from None
    facts = {"threads": 1, "quick": options.quick, "model": model, "wall_s": time.perf_counter() - began}
    if options.out is None:
        print(markdown(machine, facts, rows))
    else:
        write(options.out, machine, facts, rows)


if __name__ == "__main__":
    main()
