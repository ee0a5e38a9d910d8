"""How much an engine costs beside another, and what a second worker is worth: the same study on each, in turns.

    python benchmarks/engines.py [--workers 1 2] [--rounds 3] [--epochs 20] [--out FILE.json]

The study has 28 cells of the mini corpus: seven small networks, three folds and a learning curve each. Features lie in
the cache before anything is timed, and torch is imported, in this process as in workers that outlive a call, whose
start is told by itself; local processes start anew in each call. Two times are told: of the whole call,
and of it without the start of the engine's workers, which is the same for 28 cells and for 28 000; and the processor
time of all processes, which tells more than the clock where the machine has other work. Every result is
compared byte by byte. Beside it: how long an engine takes over tasks that do nothing. At the end, a table for a page.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batch_engines import cpu_s, mark_processes

from thymos.corpora import open_corpus
from thymos.engine.process import set_up_process
from thymos.engine.tasks import Engine, Report, engine_named
from thymos.evaluation.study import StudyWatcher, study
from thymos.evaluation.study_plan import load_study

MINI = Path(__file__).resolve().parents[1] / "data" / "mini-aesdd"
CHANNELS = range(8, 15)
PLAN = """
name: engines
base:
  recipe: model1
  folds: 3
  set: {{training.epochs: {epochs}, sound.rate_hz: 16000, features.n_mels: 32, model.dense_units: [16]}}
rows:
"""
CELLS = 28
NOTHING = 400


def nothing(task: int, report: Report) -> int:
    return task


def awake(task: int, report: Report) -> int:
    """Import what cells need."""
    from thymos.recipes import load_experiment

    load_experiment("model1")
    importlib.import_module("torch")
    return task


class Timed:
    """An engine whose workers are awake before it is timed."""

    def __init__(self, engine: Engine, workers: int):
        self.engine, self.workers = engine, workers

    def wake(self) -> float:
        """Start the workers of an engine that keeps them; return how long that took."""
        began = time.perf_counter()
        list(self.engine.run(awake, range(self.workers), self.workers))
        return time.perf_counter() - began


@contextmanager
def engines(workers: int) -> Iterator[dict[str, Engine]]:
    with engine_named("local") as local, engine_named("ray", workers) as ray:
        yield {"local": local, "ray": ray}


def numbers_of(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("cells/*.csv"), *folder.glob("rows/*/predictions.csv"), folder / "study.csv"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def run_study(engine: Engine, workers: int, plan: Path, cache: Path, out: Path) -> tuple[float, float]:
    """Return seconds of the whole call, and from the first cell that is done to the last."""
    done: list[float] = []
    began = time.perf_counter()
    watcher = StudyWatcher(on_cell=lambda work: done.append(time.perf_counter()))
    study(
        open_corpus(MINI, cache_dir=cache),
        load_study(plan),
        out,
        cache_dir=cache,
        workers=workers,
        device="cpu",
        engine=engine,
        watcher=watcher,
    )
    ended = time.perf_counter()
    assert len(done) == CELLS, len(done)
    return ended - began, done[-1] - done[workers - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    set_up_process()
    mark_processes()
    told: list[dict[str, Any]] = []
    bytes_of: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        root = Path(folder)
        plan = root / "study.yaml"
        rows = [f'  - {{name: "{n}", compare_to: null, set: {{"model.conv_channels": [{n}]}}}}\n' for n in CHANNELS]
        plan.write_text(PLAN.format(epochs=asked.epochs) + "".join(rows))
        with engine_named("local") as local:
            run_study(local, 1, plan, root / "cache", root / "features")  # and everything imported
        whole = numbers_of(root / "features")
        for workers in asked.workers:
            with engines(workers) as both:
                for number in range(asked.rounds):
                    # In turns, and each first as often as the other: the machine is shared.
                    for name in sorted(both, reverse=bool(number % 2)):
                        awake_s = Timed(both[name], workers).wake() if name == "ray" else 0.0
                        out = root / f"{name}-{workers}-{number}"
                        before_s = cpu_s()
                        whole_s, cells_s = run_study(both[name], workers, plan, root / "cache", out)
                        used_s = cpu_s() - before_s
                        if numbers_of(out) != whole:
                            bytes_of.add(f"{name}, {workers} workers")
                        told.append(
                            {
                                "engine": name,
                                "workers": workers,
                                "start_s": round(awake_s, 2),
                                "whole_s": round(whole_s, 2),
                                "cells_s": round(cells_s, 2),
                                "cpu_s": round(used_s, 2),
                                "load": round(os.getloadavg()[0], 1),
                            }
                        )
                        print(json.dumps(told[-1]), flush=True)
                for name, engine in both.items():
                    began = time.perf_counter()
                    list(engine.run(nothing, range(NOTHING), workers))
                    each_ms = 1000 * (time.perf_counter() - began) / NOTHING
                    told.append({"engine": name, "workers": workers, "nothing_ms": round(each_ms, 3)})
                    print(json.dumps(told[-1]), flush=True)

    def middle(name: str, workers: int, what: str) -> float:
        values = [each[what] for each in told if what in each and (each["engine"], each["workers"]) == (name, workers)]
        return statistics.median(values)

    summary = {
        "ray beside local, %": {
            str(n): round(100 * (middle("ray", n, "whole_s") / middle("local", n, "whole_s") - 1), 1)
            for n in asked.workers
        },
        "speed-up of the last number of workers over the first": {
            name: {
                what: round(middle(name, asked.workers[0], what) / middle(name, asked.workers[-1], what), 2)
                for what in ("whole_s", "cells_s")
            }
            for name in ("local", "ray")
        },
        "other bytes": sorted(bytes_of),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    print(json.dumps(summary, indent=1))
    columns = {
        "start_s": "start",
        "whole_s": "whole call",
        "cells_s": "first cell done to last",
        "cpu_s": "processor time",
        "nothing_ms": "a task that does nothing",
    }
    print("\n| | workers | " + " | ".join(columns.values()) + " |\n|---|---:" + "|---:" * len(columns) + "|")
    for workers in asked.workers:
        for name in ("local", "ray"):
            values = [f"{middle(name, workers, what):.3g} {what.rpartition('_')[2]}" for what in columns]
            print(f"| {name} | {workers} | {' | '.join(values)} |")
    if asked.out:
        asked.out.write_text(json.dumps({"runs": told, **summary}, indent=1) + "\n")


if __name__ == "__main__":
    main()
