"""Hostile files for the shipped recogniser, and what became of each: ``python tests/fuzz/fuzz.py --files 5000``.

The recogniser runs in a child process. Each file must be answered with probabilities that are finite and sum to 1, or
by an error of Thymos; the child must not die, nor compute more than 5 s on one file (its own children included), nor
take 1 GB. What fails is written to a folder, and the exit code is 1. ``--seed`` and a case's number repeat it.
"""

import argparse
import io
import json
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from bombs import bombs
from mutations import Case, mutated, seeds

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "data" / "mini-aesdd" / "anger" / "a05 (2).opus"
MOST_CPU_S = 5.0
SLOW_CPU_S = 1.5
MOST_MEMORY_MB = 1024
MOST_WALL_S = 120.0
"""A child that says nothing for so long hangs without computing, or the machine is very busy."""
MEDIA_SHARE = 0.2
"""Of the files that PyAV decodes: a process for each makes them the slow ones."""
EVERY_CUT = 48
"""Honest files are cut off at each of their first bytes, as many as this."""


def cases(seed: int, count: int) -> Iterator[Case]:
    """Yield the files that were made to be worst, then truncations, then mutations: ``count`` in all."""
    plain, media = seeds(CLIP, find_spec("av") is not None)
    m4a = next((case.content for case in media if case.name == "ipod aac"), None)
    made = 0
    for case in bombs(m4a):
        made += 1
        yield case
    for case in plain if count >= 2_000 else []:
        for at in range(EVERY_CUT):
            made += 1
            yield Case(f"{case.name} cut at {at}", case.suffix, case.content[:at])
    for number in range(max(0, count - made)):
        some = media if media and number % round(1 / MEDIA_SHARE) == 0 else plain
        yield mutated(number, seed, some)


def hear(seed: int, count: int, start: int) -> None:
    """Be the child: say a line of JSON about each case from number ``start``."""
    import thymos
    from thymos.errors import ThymosError

    recognizer = thymos.load(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases(seed, count)):
            if number < start:
                continue
            path = Path(folder) / f"case.{case.suffix}"
            path.write_bytes(case.content)
            print(json.dumps({"begun": number}), flush=True)
            began = _cpu_s()
            source = (path, case.content, io.BytesIO(case.content))[number % 3]
            try:
                prediction = recognizer.predict(source, timeline=number % 2 == 0)
                outcome = "answer" if prediction.emotion is not None else "none heard"
                problem = _wrong_with(prediction.probabilities)
            except ThymosError as error:
                text = str(error)
                outcome, problem = "refused", None if text and "\n" not in text and len(text) < 300 else repr(text)
            except Exception as error:
                outcome, problem = "wrong error", repr(error)
            row = {"number": number, "outcome": outcome, "problem": problem, "cpu_s": _cpu_s() - began}
            print(json.dumps(row | {"memory_mb": _memory_mb()}), flush=True)


def _wrong_with(probabilities: dict[str, float] | None) -> str | None:
    if probabilities is None:
        return None
    values = list(probabilities.values())
    fine = all(math.isfinite(value) and 0 <= value <= 1 for value in values) and abs(sum(values) - 1) < 1e-6
    return None if fine else f"probabilities {values}"


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _memory_mb() -> float:
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def watch(seed: int, count: int, show: bool) -> tuple[Counter[str], dict[int, str], float, float]:
    """Run children until all cases are through; return outcomes, failures by number, most seconds and most MB."""
    outcomes: Counter[str] = Counter()
    failures: dict[int, str] = {}
    slowest, largest, start = 0.0, 0.0, 0
    while start < count:
        command = [sys.executable, __file__, "--seed", str(seed), "--files", str(count), "--hear-from", str(start)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        alarm = threading.Timer(MOST_WALL_S, child.kill)
        begun: int | None = None
        for line in child.stdout:
            row = json.loads(line)
            alarm.cancel()
            alarm = threading.Timer(MOST_WALL_S, child.kill)
            alarm.start()
            if "begun" in row:
                begun = row["begun"]
                continue
            begun, start = None, row["number"] + 1
            outcomes[row["outcome"]] += 1
            slowest, largest = max(slowest, row["cpu_s"]), max(largest, row["memory_mb"])
            problem = row["problem"]
            if problem is None and row["cpu_s"] > MOST_CPU_S:
                problem = f"took {row['cpu_s']:.1f} s"
            if problem is None and row["memory_mb"] > MOST_MEMORY_MB:
                problem = f"took {row['memory_mb']:.0f} MB, or one before it did"
            if problem is not None:
                failures[row["number"]] = problem
            elif row["cpu_s"] > SLOW_CPU_S and show:
                print(f"case {row['number']} took {row['cpu_s']:.1f} s of processor time", flush=True)
            if show and start % 100 == 0:
                print(f"{start} of {count}: {dict(outcomes)}, {len(failures)} failures", flush=True)
        alarm.cancel()
        code = child.wait()
        if begun is not None:
            failures[begun] = f"the process ended with {code}"
            outcomes["no answer"] += 1
            start = begun + 1
        elif code or start < count:
            raise SystemExit(f"the process that hears ended with {code} between files")
    return outcomes, failures, slowest, largest


def main() -> int:
    """Parse the arguments, run, write what failed, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz", help="folder for files that fail")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--hear-from", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hear_from is not None:
        hear(options.seed, options.files, options.hear_from)
        return 0
    began = time.monotonic()
    outcomes, failures, slowest, largest = watch(options.seed, options.files, not options.quiet)
    for number, case in enumerate(cases(options.seed, options.files)):
        if number in failures:
            options.out.mkdir(parents=True, exist_ok=True)
            path = options.out / f"{options.seed}-{number}.{case.suffix}"
            path.write_bytes(case.content)
            print(f"{path} ({case.name}): {failures[number]}")
    print(
        f"{sum(outcomes.values())} files in {time.monotonic() - began:.0f} s: "
        f"{', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}; {len(failures)} failures; "
        f"most on one file {slowest:.1f} s of processor time; most memory, children included, {largest:.0f} MB"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
