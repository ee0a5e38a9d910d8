"""Batches heard by engines: local processes beside Ray, one worker beside two, and Ray Data's and Dask's plain maps.

    python benchmarks/batch_engines.py speed FOLDER [--files 2000] [--rounds 1] [--model thymos]
    python benchmarks/batch_engines.py many FOLDER [--files 100000] [--engine local]

`speed` hears links to the recordings in FOLDER by each way in turn, in one run, with the same number of workers: what
is timed is from the first task to the last answer, once workers have their model, and from the start of the engine. The
plain maps call the same recogniser, loaded once a worker, on batches of 16 files. Answers of all ways are compared.
Processor time is that of all processes of a way, and tells more than the clock where the machine has other work. At the
end, a table for a page: medians of the rounds, and each way beside local processes of as many workers.

`many` starts `thymos predict` on so many links and waits for the first answer in its journal: what that took, and then,
after --answers of them, what the command itself holds in memory; workers are other processes. With `--answer-at-once`
workers do not hear but give the first answer again, so that memory is seen of all files.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.audio.search import sounds_below
from thymos.cli import spread
from thymos.cli.journal import journal_path
from thymos.cli.spread import SpreadRecognizer
from thymos.engine.tasks import engine_named
from thymos.runtime.prediction import Prediction
from thymos.runtime.recognizer import Recognizer, load

BATCH = 16


def links(folder: Path, sounds: list[Path], count: int) -> list[Path]:
    """Fill ``folder`` with so many links to recordings."""
    made = []
    for number in range(count):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"recording-{number:06d}{sounds[number % len(sounds)].suffix}"
        path.symlink_to(sounds[number % len(sounds)].absolute())
        made.append(path)
    return made


def told(predictions: Any) -> list[str]:
    return [json.dumps(each.to_dict()) if isinstance(each, Prediction) else str(each) for each in predictions]


_loaded: dict[str, Recognizer] = {}


def heard(model: str, paths: list[str]) -> list[str]:
    """What a plain map calls: a batch of files, with the worker's own recogniser."""
    recognizer = _loaded.get(model) or _loaded.setdefault(model, load(model, 1))
    return told(recognizer.predict_many(paths))


class Hearer:
    """A batch function of Ray Data: made once an actor."""

    def __init__(self, model: str):
        self.model = model
        load(model, 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        return {"path": batch["path"], "told": np.array(heard(self.model, [str(path) for path in batch["path"]]))}


def by_engine(name: str, workers: int, model: str, files: list[Path]) -> Iterator[list[str]]:
    """Yield answers, once to warm up and once to be timed, with the same workers where the engine keeps them."""
    with engine_named(name, workers) as engine:
        recognizer = SpreadRecognizer(load(model, 1), engine, workers)
        yield told(recognizer.predict_many(files[: BATCH * workers]))
        yield told(recognizer.predict_many(files))


def by_ray_data(workers: int, model: str, files: list[Path]) -> Iterator[list[str]]:
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:

        def run(paths: list[Path]) -> list[str]:
            rows = ray.data.from_items([{"path": str(path)} for path in paths], override_num_blocks=8 * workers)
            heard = rows.map_batches(
                Hearer,
                fn_constructor_args=(model,),
                batch_size=BATCH,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=workers),
            )
            by_path = {row["path"]: row["told"] for row in heard.take_all()}
            return [str(by_path[str(path)]) for path in paths]

        yield run(files[: BATCH * workers])
        yield run(files)
    finally:
        ray.shutdown()


def by_dask(workers: int, model: str, files: list[Path]) -> Iterator[list[str]]:
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def run(paths: list[Path]) -> list[str]:
            batches = [[str(path) for path in paths[at : at + BATCH]] for at in range(0, len(paths), BATCH)]
            futures = client.map(heard, [model] * len(batches), batches, pure=False)
            return [each for batch in client.gather(futures) for each in batch]

        yield run(files[: BATCH * workers])
        yield run(files)


def cpu_s() -> float:
    """Return the processor seconds, so far, of all processes that were started since ``mark_processes``, and of those
    that have ended and were waited for."""
    ticks, mark = 0, f"{_MARK}={os.environ[_MARK]}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() or int(process.name) == os.getpid():
                ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it has ended
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def mark_processes() -> None:
    """Have all processes that are started from now on found by ``cpu_s``."""
    os.environ[_MARK] = os.urandom(8).hex()


_MARK = "THYMOS_BATCH_ENGINES"


@dataclass(frozen=True)
class _Timed:
    """What one way took for all files."""

    start_s: float
    wall_s: float
    cpu_s: float
    answers: list[str]


def timed(running: Iterator[list[str]]) -> _Timed:
    began_s = time.monotonic()
    next(running)
    warm_s, before_s = time.monotonic(), cpu_s()
    answers = next(running)
    ended_s, after_s = time.monotonic(), cpu_s()
    next(running, None)  # its end
    return _Timed(warm_s - began_s, ended_s - warm_s, after_s - before_s, answers)


def speed(given: argparse.Namespace, files: list[Path]) -> None:
    ways: dict[str, Callable[[], Iterator[list[str]]]] = {
        "local processes, 2": lambda: by_engine("local", 2, given.model, files),
        "Ray, 2": lambda: by_engine("ray", 2, given.model, files),
        "Ray Data map_batches, 2": lambda: by_ray_data(2, given.model, files),
        "Dask map, 2": lambda: by_dask(2, given.model, files),
        "local processes, 1": lambda: by_engine("local", 1, given.model, files),
        "Ray, 1": lambda: by_engine("ray", 1, given.model, files),
    }
    found: dict[str, list[_Timed]] = {}
    print(f"{len(files)} files; load {os.getloadavg()[0]:.1f} at the start", flush=True)
    for number in range(given.rounds):
        for name in sorted(ways, key=[*ways].index, reverse=bool(number % 2)):
            if given.only and not any(word in name for word in given.only):
                continue
            try:
                one = timed(ways[name]())
            except ImportError as error:
                print(f"{name}: not installed ({error.name})", flush=True)
                continue
            found.setdefault(name, []).append(one)
            print(
                f"{name}: {one.wall_s:.1f} s, {one.start_s:.1f} s to start, {one.cpu_s:.1f} s of processor time; "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    table(found, len(files))


def table(found: dict[str, list[_Timed]], count: int) -> None:
    """Print medians, and each way's time beside that of local processes of as many workers."""
    middle = {name: statistics.median(one.wall_s for one in rounds) for name, rounds in found.items()}
    first = next(iter(found.values()))[0].answers
    print("\n| | workers | files a second | beside local | processor time a file | to start | answers |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for name, rounds in found.items():
        way, _, workers = name.rpartition(", ")
        beside = middle.get(f"local processes, {workers}")
        cpu_ms = 1000 * statistics.median(one.cpu_s for one in rounds) / count
        print(
            f"| {way} | {workers} | {count / middle[name]:.1f} | "
            f"{f'{100 * (middle[name] / beside - 1):+.0f} % time' if beside else ''} | {cpu_ms:.1f} ms | "
            f"{statistics.median(one.start_s for one in rounds):.1f} s | "
            f"{'the same' if all(one.answers == first for one in rounds) else 'OTHERS'} |"
        )
    for way in ("local processes", "Ray"):
        if {f"{way}, 1", f"{way}, 2"} <= middle.keys():
            print(f"{way}: two workers are {middle[f'{way}, 1'] / middle[f'{way}, 2']:.2f} times as fast as one")


_ANSWER: list[Any] = []


def answer_at_once(batch: Any, report: Any) -> Any:
    """Hear the first recording, and say the same of all others."""
    if not _ANSWER:
        _ANSWER.append(_really_heard(batch, report).results[0][1])
    return spread._Heard("here", tuple((place, _ANSWER[0]) for place, _ in batch.items))


_really_heard = spread.hear_batch


def many(given: argparse.Namespace, folder: Path, root: Path) -> None:
    out = root / "out.jsonl"
    command = (
        [sys.executable, __file__, "predict"] if given.answer_at_once else [sys.executable, "-m", "thymos", "predict"]
    )
    command += [str(folder), "--engine", given.engine, "--workers", "2", "--model", given.model, "--out", str(out)]
    began_s, before_s = time.monotonic(), cpu_s()
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    first_s, peak_kb, seen = None, 0, 0
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/status").read_text()
        peak_kb = max([peak_kb, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        journal = journal_path(out)
        lines = journal.read_bytes().count(b"\n") - 1 if journal.is_file() else 0
        seen = max(seen, lines)
        if lines > 0 and first_s is None:
            first_s = time.monotonic() - began_s
            print(
                f"first answer after {first_s:.1f} s and {cpu_s() - before_s:.1f} s of processor time; "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        if given.answers and lines >= given.answers:
            running.terminate()
            running.wait()
            break
        time.sleep(0.1)
    print(f"at least {seen} of {given.files} files heard; the command held {peak_kb / 1024:.0f} MB at most", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["predict"]:  # `many` has called: workers of this command answer at once
        from thymos.cli import main as thymos

        spread.hear_batch = answer_at_once
        thymos()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "many"])
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--files", type=int)
    parser.add_argument("--model", default="thymos")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--rounds", type=int, default=1, help="of `speed`, each way so often, in turns")
    parser.add_argument("--only", nargs="*", help="of `speed`, ways whose names hold one of these words")
    parser.add_argument("--answers", type=int, default=0, help="of `many`, end after so many; 0: hear all")
    parser.add_argument("--answer-at-once", action="store_true")
    given = parser.parse_args()
    mark_processes()
    given.files = given.files or (2_000 if given.what == "speed" else 100_000)
    root = Path(tempfile.mkdtemp(prefix="batch-"))
    try:
        sounds = sounds_below(given.sounds).sounds[:300]
        files = links(root / "sounds", sounds, given.files)
        speed(given, files) if given.what == "speed" else many(given, root / "sounds", root)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
