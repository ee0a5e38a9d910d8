"""What the results say beside the numbers: the machine, the versions, and a table for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thymos.files import write_json, write_text
from thymos.machine import this_machine

THYMOS_PACKAGES = ("thymos", "torch", "numpy", "scipy", "soundfile")

Record = dict[str, Any]


def environment() -> Record:
    machine = this_machine()
    return {key: machine[key] for key in ("date", "processor", "cores", "memory_gb", "system")}


def thymos_versions() -> dict[str, str]:
    versions: dict[str, str] = this_machine(THYMOS_PACKAGES)["versions"]
    return versions


def save(record: Record, markdown: str, folder: Path, name: str) -> None:
    write_json(folder / f"{name}.json", record)
    write_text(folder / f"{name}.md", markdown)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def speed_markdown(record: Record) -> str:
    parts = [
        "# Thymos against the study's stack: speed\n",
        "Both sides go from audio files to scores with the study's Model3 on the same folds of the same "
        "clips, in turns on one machine. Seconds are the wall time of the whole process, imports included. "
        "The study's side is librosa and Keras on tensorflow-cpu; Thymos's feature cache is empty at each "
        "start. One untimed run of either side comes first, so that neither pays for reading the files from "
        "a cold disk or for compiling what it keeps compiled.\n",
        _environment_lines(record),
    ]
    for key in ("one_fold", "all_folds"):
        if record.get(key):
            parts.append(_pairs_section(record[key]))
    parts.append(_memory_section(record["memory"]))
    return "\n".join(parts)


def _environment_lines(record: Record) -> str:
    where = record["environment"]
    lines = [
        f"- Date: {where['date']}",
        f"- Machine: {where['processor']}, {where['cores']} cores, {where['memory_gb']} GB, {where['system']}",
    ]
    for side, versions in record["versions"].items():
        lines.append(f"- {side}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    lines.append("- Settings: " + ", ".join(f"{key} {value}" for key, value in record["settings"].items()))
    return "\n".join(lines) + "\n"


def _pairs_section(section: Record) -> str:
    rows = []
    for number, pair in enumerate(section["pairs"], start=1):
        study, thymos = pair["study"], pair["thymos"]
        rows.append(
            [
                str(number),
                f"{pair['first']} first",
                *(f"{study[key]:.1f}" for key in ("wall_s", "feature_s", "train_s")),
                f"{thymos['wall_s']:.1f}",
                f"{pair['ratio']:.1f}",
                f"{study['load_before']:.1f} / {thymos['load_before']:.1f}",
            ]
        )
    medians = [f"{section['study_median_s']:.1f}", "", "", f"{section['thymos_median_s']:.1f}"]
    rows.append(["median", "", *medians, f"{section['median_ratio']:.1f}", ""])
    header = [
        "pair",
        "order",
        "study (s)",
        "of it features",
        "of it training",
        "Thymos (s)",
        "ratio",
        "load before (study / Thymos)",
    ]
    return f"## {section['title']}\n\n{table(header, rows)}\n{_accuracy_table(section)}"


def _accuracy_table(section: Record) -> str:
    """The accuracies show that both sides did the same work; speed alone would not."""
    rows = []
    for side, name in (("study", "study"), ("thymos", "Thymos")):
        runs = [pair[side] for pair in section["pairs"]]
        segments = statistics.fmean(run["segment_accuracy"] for run in runs)
        recordings = statistics.fmean(run["recording_accuracy"] for run in runs)
        rows.append([name, f"{segments:.1%}", f"{recordings:.1%}"])
    return table(["mean over the runs", "segment accuracy", "recording accuracy"], rows)


def _memory_section(memory: Record) -> str:
    limit = memory["limit_mb"]
    verdict = "under" if memory["thymos_all_folds_mb"] < limit else "OVER"
    rows = [
        ["Thymos, all folds", f"{memory['thymos_all_folds_mb']:.0f}", f"{verdict} the limit of {limit} MB"],
        ["study, one fold", f"{memory['study_one_fold_mb']:.0f}", ""],
    ]
    note = "The most a whole process tree held at one moment (proportional set size, sampled untimed).\n"
    return f"## Memory\n\n{note}\n{table(['run', 'peak (MB)', ''], rows)}"


def _percents(*values: float) -> list[str]:
    return [f"{value:.2%}" for value in values]


def precision_markdown(record: Record) -> str:
    rows = [
        [f"{run['seed']}", *_percents(run["fast_mean"], run["reference_mean"]), f"{run['difference']:+.2%}"]
        for run in record["runs"]
    ]
    rows.append(["all", "", "", f"{record['difference']:+.2%}"])
    fast, reference = record["fast"], record["reference"]
    header = ["seed", f"{fast} (fast settings)", f"{reference} (plain)", "difference"]
    spread = record["standard_error"]
    error = "unknown from one fold" if spread is None else f"{spread:.2%}"
    parts = [
        "# Thymos: does the fast arithmetic cost accuracy?\n",
        "Mean segment accuracy of the study's Model3 over the same folds, trained with either arithmetic.\n",
        _environment_lines(record),
        table(header, rows),
        f"Standard error of the difference, from its spread over the folds: {error}.\n",
    ]
    return "\n".join(parts)
