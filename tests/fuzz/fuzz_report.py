"""What came of a fuzz, in a line and as tables."""

import json
import shlex
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from commands import Commands

Row = dict[str, Any]
OUTCOMES = ("answer", "none heard", "refused")


def summary(rows: list[Row]) -> str:
    """Return it in a line."""
    outcomes = Counter(row["outcome"] for row in rows)
    failures = sum(row["problem"] is not None for row in rows)
    return (
        f"{len(rows)} files in {sum(row.get('wall_s', 0) for row in rows):.0f} s: "
        f"{', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}; {failures} failures; "
        f"most on one file {_most(rows, 'cpu_s'):.1f} s of processor time; "
        f"most memory, children included, {_most(rows, 'memory_mb'):.0f} MB"
    )


def _most(rows: list[Row], what: str) -> float:
    return max((row.get(what, 0.0) for row in rows), default=0.0)


def write_results(folder: Path, seed: int, asked: int, rows: list[Row], commands: Commands) -> None:
    """Write ``fuzz.json`` and ``fuzz.md``, with the command that made them, and how many of the files that were
    ``asked`` for it has heard."""
    from thymos.machine import this_machine

    by_kind: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    kinds = {
        kind: {
            "files": len(some),
            **{outcome: sum(row["outcome"] == outcome for row in some) for outcome in OUTCOMES},
            "failures": sum(row["problem"] is not None for row in some),
            "mean_cpu_ms": round(1000 * sum(row.get("cpu_s", 0.0) for row in some) / len(some), 1),
            "most_cpu_s": round(_most(some, "cpu_s"), 2),
        }
        for kind, some in sorted(by_kind.items())
    }
    command = shlex.join(["python", "tests/fuzz/fuzz.py", *_given()])
    record = {
        "command": command,
        "seed": seed,
        "machine": this_machine(("thymos", "soundfile", "onnxruntime", "av")),
        "asked": asked,
        "files": len(rows),
        "failures": [row for row in rows if row["problem"] is not None],
        "most_cpu_s": round(_most(rows, "cpu_s"), 2),
        "most_wall_s": round(_most(rows, "wall_s"), 2),
        "most_memory_mb": _most(rows, "memory_mb"),
        "kinds": kinds,
        "commands": commands.to_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fuzz.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    head = ("container", "files", *OUTCOMES, "failures", "mean, ms", "most, s")
    told = summary(rows) + (f"; {asked - len(rows)} are still to be heard" if len(rows) < asked else "")
    lines = [f"`{command}`", "", told + ".", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [f"| {kind} | " + " | ".join(map(str, own.values())) + " |" for kind, own in kinds.items()]
    lines += ["", "Milliseconds and seconds are of processor time, children included.", ""]
    if commands.files:
        lines += [commands.summary() + ".", ""]
    (folder / "fuzz.md").write_text("\n".join(lines), encoding="utf-8")


def _given() -> list[str]:
    """Return the words of the call, without those that say where things are written."""
    words, given = iter(sys.argv[1:]), []
    for word in words:
        if word in ("--out", "--results"):
            next(words, None)
        else:
            given.append(word)
    return given
