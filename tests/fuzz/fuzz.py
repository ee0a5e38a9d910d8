"""Hostile files for the shipped recogniser, and what became of each: ``python tests/fuzz/fuzz.py --files 5000``.

The recogniser runs in a child process, which is begun anew where it dies. Each file must be answered with numbers that
are finite and probabilities that sum to 1, or by an error of Thymos of one sentence; the child must not die, nor
compute more than 5 s on one file (its own children included), nor take 1 GB. ``--commands N`` gives N more files to
``thymos predict``, by folders (``commands.py``). What fails is written to a folder, and the exit code is 1. ``--seed``
and a case's number repeat it. What is known is in ``OUT/cases.jsonl``: a run that was killed goes on from
there, and what had failed is heard once more.
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
from typing import Any

from bombs import bombs
from mutations import Case, mutated, seeds

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "data" / "mini-aesdd" / "anger" / "a05 (2).opus"
MOST_CPU_S = 5.0
SLOW_CPU_S = 1.5
MOST_MEMORY_MB = 1024
MOST_WALL_S = 120.0
"""A child that says nothing for so long hangs without computing, or the machine is very busy."""
SHORT_S, LONG_S = 0.5, 2.5
"""How long the honest sounds are: most are short, so that many can be heard."""
LONG_SHARE = 0.04
MEDIA_SHARE, ASKED_SHARE = 0.01, 0.06
"""Of the files that PyAV decodes, by a process for each, which takes twenty times as long as all else; and of those
that it is asked for where libsndfile refuses them."""
ASKED = ("AIFF", "CAF", "Ogg Vorbis", "Ogg Opus")
SMALL, SMALL_MEDIA_SHARE = 2_000, 0.2
"""In a smaller run there are more of them."""
EVERY_CUT = 48
"""Honest files are cut off at each of their first bytes, as many as this."""
Row = dict[str, Any]


def cases(seed: int, count: int, small: bool | None = None) -> Iterator[Case]:
    """Yield the files that were made to be worst, then truncations, then mutations: ``count`` in all.

    In a ``small`` run there are no truncations, and more of what PyAV decodes.
    """
    small = count < SMALL if small is None else small
    plain, media = seeds(CLIP, find_spec("av") is not None, SHORT_S)
    longer = plain if small else seeds(CLIP, False, LONG_S)[0]
    m4a = next((case.content for case in media if case.name == "ipod aac"), None)
    made = 0
    for case in bombs(m4a):
        made += 1
        yield case
    for case in [] if small else plain:
        for at in range(EVERY_CUT):
            made += 1
            yield Case(f"{case.name} cut at {at}", case.suffix, case.content[:at], case.kind)
    asked = [case for case in plain if case.kind in ASKED]
    rest = plain if small else [case for case in plain if case.kind not in ASKED]
    longer = [case for case in longer if small or case.kind not in ASKED]
    every_media = round(1 / (SMALL_MEDIA_SHARE if small else MEDIA_SHARE))
    for number in range(max(0, count - made)):
        some = longer if number % round(1 / LONG_SHARE) == 7 else rest
        if number % round(1 / ASKED_SHARE) == 3 and not small:
            some = asked
        yield mutated(number, seed, media if media and number % every_media == 0 else some)


def hear(seed: int, count: int, start: int, again: set[int]) -> None:
    """Be the child: say a line of JSON about each case from number ``start``, and those of ``again``."""
    import thymos
    from thymos.errors import ThymosError

    recognizer = thymos.load(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases(seed, count)):
            if number < start and number not in again:
                continue
            path = Path(folder) / f"case.{case.suffix}"
            path.write_bytes(case.content)
            print(json.dumps({"begun": number}), flush=True)
            began, began_cpu = time.monotonic(), _cpu_s()
            source = (path, case.content, io.BytesIO(case.content))[number % 3]
            try:
                prediction = recognizer.predict(source, timeline=number % 2 == 0)
                outcome = "answer" if prediction.emotion is not None else "none heard"
                problem = wrong_with(prediction.to_dict())
                problem = problem or wrong_with({"probabilities": prediction.probabilities}, 1e-6)
                problem = problem or _wrong_elsewhere(recognizer, source, number)
            except ThymosError as error:
                outcome, problem = "refused", _wrong_words(error)
            except Exception as error:
                outcome, problem = "wrong error", repr(error)
            row = {"number": number, "kind": case.kind, "outcome": outcome, "problem": problem}
            row |= {"cpu_s": round(_cpu_s() - began_cpu, 4), "wall_s": round(time.monotonic() - began, 4)}
            print(json.dumps(row | {"memory_mb": round(_memory_mb())}), flush=True)


def _wrong_words(error: Exception) -> str | None:
    """Return what is wrong with an error: it is none that Thymos knows, or not one short line that can be printed."""
    text = str(error)
    if type(error).__name__ == "UnexpectedError" or "made its decoder fail" in text:
        return f"unexpected: {text}"
    return None if text and text.isprintable() and len(text) < 400 else repr(text)


def wrong_with(said: Row, most_off: float = 1e-3) -> str | None:
    """Return what is wrong with an answer as JSON has it: numbers that are not finite, or no distribution."""
    numbers = [value for value in _leaves(said) if isinstance(value, float)]
    if not all(map(math.isfinite, numbers)):
        return f"numbers {numbers}"
    values = list((said.get("probabilities") or {}).values())
    fine = not values or (all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) < most_off)
    return None if fine else f"probabilities {values}"


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict | list):
        for each in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(each)
    else:
        yield tree


def _wrong_elsewhere(recognizer: Any, source: Any, number: int) -> str | None:
    """Hear some again by other ways, which must give finite numbers, too: channel by channel, or as an embedding."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
    if number % 25 == 0:
        for each in recognizer.predict(source, channels="split"):
            if problem := wrong_with(each.to_dict()):
                return f"channels: {problem}"
    elif number % 25 == 1 and not all(map(math.isfinite, recognizer.embed_windows(source).values.ravel().tolist())):
        return "an embedding that is not finite"
    return None


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _memory_mb() -> float:
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def watch(seed: int, count: int, show: bool, known: list[Row] | None = None, journal: Path | None = None) -> list[Row]:
    """Run children until all cases are through; return a row for each. Those that are ``known`` are not heard again but
    for those that failed.

    A row has the case's ``number``, ``kind``, ``outcome`` and ``problem`` (None: as it should be), and what it took:
    ``cpu_s``, ``wall_s``, and ``memory_mb``, the most that the child and its children had up to then. Each is a line of
    ``journal`` as soon as it is known.
    """
    rows = {row["number"]: row for row in known or []}
    start = max(rows, default=-1) + 1
    again = {number for number, row in rows.items() if row["problem"] is not None}
    failed = 0
    kept = journal.open("a", encoding="utf-8") if journal else None

    def keep(row: Row) -> None:
        nonlocal failed, start
        rows[row["number"]] = row
        failed += row["problem"] is not None
        again.discard(row["number"])
        start = max(start, row["number"] + 1)
        if kept is not None:
            kept.write(json.dumps(row) + "\n")
            kept.flush()
        if show and len(rows) % 500 == 0:
            outcomes = Counter(row["outcome"] for row in rows.values())
            print(f"{len(rows)} of {count}: {dict(outcomes)}, {failed} failures", flush=True)

    while start < count or again:
        command = [sys.executable, __file__, "--seed", str(seed), "--files", str(count), "--hear-from", str(start)]
        child = subprocess.Popen([*command, "--again", *map(str, sorted(again))], stdout=subprocess.PIPE, text=True)
        alarm = threading.Timer(MOST_WALL_S, child.kill)
        begun: int | None = None
        assert child.stdout is not None
        for line in child.stdout:
            row = json.loads(line)
            alarm.cancel()
            alarm = threading.Timer(MOST_WALL_S, child.kill)
            alarm.start()
            if "begun" in row:
                begun = row["begun"]
                continue
            begun = None
            if row["problem"] is None and row["cpu_s"] > MOST_CPU_S:
                row["problem"] = f"took {row['cpu_s']:.1f} s"
            if row["problem"] is None and row["memory_mb"] > MOST_MEMORY_MB:
                row["problem"] = f"took {row['memory_mb']:.0f} MB, or one before it did"
            if row["problem"] is None and row["cpu_s"] > SLOW_CPU_S and show:
                print(f"case {row['number']} took {row['cpu_s']:.1f} s of processor time", flush=True)
            keep(row)
        alarm.cancel()
        code = child.wait()
        if begun is not None:
            problem = f"the process ended with {code}"
            keep({"number": begun, "kind": "?", "outcome": "no answer", "problem": problem})
        elif code or start < count:
            raise SystemExit(f"the process that hears ended with {code} between files")
    if kept is not None:
        kept.close()
    return [rows[number] for number in sorted(rows)]


def known_rows(journal: Path, given: Row) -> list[Row]:
    """Return the rows of an earlier run of the same call; of another one, what it left is begun anew."""
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.exists() else []
    if not lines or json.loads(lines[0]) != given:
        journal.write_text(json.dumps(given) + "\n", encoding="utf-8")
        return []
    whole = [line for line in lines if line.endswith("\n")]
    journal.write_text("".join(whole), encoding="utf-8")
    return [json.loads(line) for line in whole[1:]]


def main() -> int:
    """Parse the arguments, run, write what failed, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--commands", type=int, default=0, help="so many more files through the command line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz", help="folder for files that fail")
    parser.add_argument("--results", type=Path, help="folder for the tables, fuzz.json and fuzz.md")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--hear-from", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--again", type=int, nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hear_from is not None:
        hear(options.seed, options.files, options.hear_from, set(options.again))
        return 0
    from commands import run_commands
    from fuzz_report import summary, write_results

    options.out.mkdir(parents=True, exist_ok=True)
    journal = options.out / "cases.jsonl"
    known = known_rows(journal, {"seed": options.seed, "files": options.files})
    rows = watch(options.seed, options.files, not options.quiet, known, journal)
    failures = {row["number"]: row["problem"] for row in rows if row["problem"] is not None}
    for number, case in enumerate(cases(options.seed, options.files) if failures else ()):
        if number in failures:
            path = options.out / f"{options.seed}-{number}.{case.suffix}"
            path.write_bytes(case.content)
            print(f"{path} ({case.name}): {failures[number]}")
    print(summary(rows))
    commands = run_commands(options.seed, options.commands, options.out, not options.quiet)
    if options.commands:
        print(commands.summary())
    if options.results is not None:
        write_results(options.results, options.seed, options.files, rows, commands)
    return 1 if failures or commands.problems else 0


if __name__ == "__main__":
    sys.exit(main())
