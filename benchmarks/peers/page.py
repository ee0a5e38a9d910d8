"""Rows of measurements, what was aimed at, and both as Markdown in docs/speed.md and as JSON in docs/speed.json."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thymos.files import write_json, write_text

FORMAT = 1
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
"""Where the page has both, only what is between them is replaced."""
NONE = "–"
BUSY = 0.5
"""Waiting processes a core above which other work disturbs what is measured."""
TITLES = {
    "start": "From a new process to its end",
    "files": "Whole files, 44.1 kHz FLAC, decoding and resampling included; ms for a second of sound, median and p95",
    "stream": "A live stream: work in each hop",
    "long": "Long files, 44.1 kHz WAV",
    "install": "The light install",
}
IMPORT, COMMAND, OWN, OTHER_ANSWER = "import thymos", "thymos predict", "Thymos", "wav2vec 2.0 BASE, transformers"


Show = Callable[[Any], str]


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def _rounded(number: float, digits_from: float = 10) -> str:
    return f"{number:.0f}" if number >= digits_from else f"{number:.1f}"


def _milliseconds(number: float) -> str:
    return _rounded(number, 100)


def _aim_s(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"


_SPEED: dict[str, tuple[str, Show]] = {
    "× real time": ("real_time", _rounded),
    "× by CPU": ("real_time_cpu", _rounded),
    "ms/s": ("median_ms", _milliseconds),
}
_PEAK: dict[str, tuple[str, Show]] = {"peak MB": ("peak_mb", "{:.0f}".format)}
_NOTE: dict[str, tuple[str, Show]] = {"note": ("note", str)}
COLUMNS: dict[str, dict[str, tuple[str, Show]]] = {
    "start": {
        "median s": ("median_ms", _seconds),
        "p95 s": ("p95_ms", _seconds),
        "CPU s": ("cpu_ms", _seconds),
        **_PEAK,
        "starts": ("repeats", str),
        **_NOTE,
    },
    "files": {
        **_SPEED,
        "p95": ("p95_ms", _milliseconds),
        **_PEAK,
        "files": ("repeats", str),
        "Thymos is": ("thymos_is", "{:.1f} ×".format),
        "by CPU": ("thymos_is_cpu", "{:.1f} ×".format),
        **_NOTE,
    },
    "stream": {
        "median ms": ("median_ms", _milliseconds),
        "p95 ms": ("p95_ms", _milliseconds),
        "p99 ms": ("p99_ms", _milliseconds),
        "CPU ms": ("cpu_ms", _milliseconds),
        **_PEAK,
        "hops": ("repeats", str),
    },
    "long": {**_SPEED, **_PEAK, **_NOTE},
    "install": {"disk MB": ("disk_mb", "{:.0f}".format), "s": ("median_ms", _seconds), **_NOTE},
}
"""Of each part's table: the field that a column shows, and how."""


@dataclass(frozen=True)
class Measurement:
    """A row. Times are of the part's unit of work: a start, a second of sound, a hop."""

    part: str
    name: str
    missing: str | None = None
    """Why it was not measured."""
    repeats: int = 0
    """Starts, files, hops: what median and percentiles are over."""
    median_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: float | None = None
    """Median of the processor's time; where the clock says much more, something else ran on the core."""
    sound_s: float | None = None
    real_time: float | None = None
    """Seconds of sound heard in a second: all sound by all time."""
    real_time_cpu: float | None = None
    """The same by the processor's time."""
    thymos_is: float | None = None
    """How many times as fast Thymos hears files, in the same run."""
    thymos_is_cpu: float | None = None
    peak_mb: float | None = None
    disk_mb: float | None = None
    note: str = ""


def measurement(
    part: str,
    name: str,
    wall_s: Sequence[float],
    cpu_s: Sequence[float],
    sound_s: Sequence[float] | None = None,
    peak_mb: float | None = None,
    note: str = "",
) -> Measurement:
    """The row of repeats that took ``wall_s``; with ``sound_s``, times are for one second of sound."""
    work = sound_s or [1.0] * len(wall_s)
    walls, cpus = ([1000 * took / one for took, one in zip(times, work, strict=True)] for times in (wall_s, cpu_s))
    return Measurement(
        part=part,
        name=name,
        repeats=len(walls),
        median_ms=statistics.median(walls),
        p95_ms=_percentile(walls, 95) if len(walls) > 1 else None,
        p99_ms=_percentile(walls, 99) if len(walls) >= 100 else None,
        cpu_ms=statistics.median(cpus),
        sound_s=sum(sound_s) if sound_s else None,
        real_time=sum(sound_s) / sum(wall_s) if sound_s else None,
        real_time_cpu=sum(sound_s) / sum(cpu_s) if sound_s else None,
        peak_mb=peak_mb,
        note=note,
    )


def aims(rows: Sequence[Measurement]) -> list[tuple[str, str, str, str, bool]]:
    """What was aimed at for one core: what, aim, measured by the clock, by CPU time, and whether the clock met it."""
    at = {(row.part, row.name): row for row in rows if row.missing is None}
    long = sorted((row for row in at.values() if row.part == "long"), key=lambda row: row.sound_s)
    found = []

    def add(what: str, aim: str, show: Show, wall: float, cpu: float | None, met: bool) -> None:
        found.append((what, aim, show(wall), NONE if cpu is None else show(cpu), met))

    if row := at.get(("start", IMPORT)):
        add(IMPORT, "below 0.15 s", _aim_s, row.median_ms, row.cpu_ms, row.median_ms < 150)
    if row := at.get(("start", COMMAND)):
        add(
            "a clip's answer from a new process", "below 1.0 s", _aim_s, row.median_ms, row.cpu_ms, row.median_ms < 1000
        )
        if other := at.get(("start", OTHER_ANSWER)):
            wall, cpu = other.median_ms / row.median_ms, other.cpu_ms / row.cpu_ms
            add("the same beside wav2vec 2.0 BASE", "below 1/3", "1/{:.1f}".format, wall, cpu, wall > 3)
    if row := at.get(("files", OWN)):
        aim = "200 × real time, better 500"
        add("whole files, one core", aim, "{:.0f} ×".format, row.real_time, row.real_time_cpu, row.real_time >= 200)
    for row in (row for row in at.values() if row.part == "stream"):
        add(
            "a stream's hop, median",
            "below 10 ms, better 5",
            "{:.1f} ms".format,
            row.median_ms,
            row.cpu_ms,
            row.median_ms < 10,
        )
        if row.p99_ms:
            add("a stream's hop, p99", "below 30 ms, better 15", "{:.1f} ms".format, row.p99_ms, None, row.p99_ms < 30)
    if long:
        peak_mb = long[-1].peak_mb
        add("peak memory of the longest file", "below 400 MB", "{:.0f} MB".format, peak_mb, None, peak_mb < 400)
    if len(long) > 1:
        memory, wall, cpu = (
            getattr(long[-1], field) / getattr(long[0], field) for field in ("peak_mb", "median_ms", "cpu_ms")
        )
        add("its memory beside the shortest file's", "at most 1.2 ×", "{:.2f} ×".format, memory, None, memory <= 1.2)
        what = "its time for a second of sound beside that"
        add(what, "about 1 × (linear)", "{:.2f} ×".format, wall, cpu, 0.8 <= wall <= 1.25)
    return found


def markdown(machine: dict[str, Any], facts: dict[str, Any], rows: Sequence[Measurement]) -> str:
    """The headline and a table for each part, then the aims."""
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:g} GB of memory"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
    took = f"{machine['date']}, in {facts['wall_s'] / 60:.1f} minutes"
    lines = [
        f"- {machine['processor']}, {cores}{memory}, {machine['system']}; 1 thread on 1 core, a process for each row.",
        f"- Model {facts['model']}; {versions}.",
        f"- {took}. Load average at the start {machine['load_average']:.2f}.",
    ]
    if machine["load_average"] > BUSY * machine["cores"]:
        lines.append("- The machine was busy: times by the clock are longer than on a quiet one, see CPU time.")
    if facts["quick"]:
        lines.append("- A quick run: few repeats, so it only says roughly how fast this is.")
    parts = ["\n".join(lines)]
    for part, title in TITLES.items():
        if cells := [_cells(row) for row in rows if row.part == part]:
            parts.append(f"### {title}\n\n{_table(['', *COLUMNS[part]], cells)}")
    met = [[*words, "yes" if is_met else "no"] for *words, is_met in aims(rows)]
    parts.append(f"### Aims\n\n{_table(['what', 'aim', 'measured', 'by CPU time', 'met'], met)}")
    return "\n\n".join(parts) + "\n"


def write(folder: Path, machine: dict[str, Any], facts: dict[str, Any], rows: Sequence[Measurement]) -> None:
    """Write speed.json and speed.md to ``folder``; a page that has the marks keeps what is around them."""
    record = {"format": FORMAT, "machine": machine, **facts, "rows": [asdict(row) for row in rows]}
    write_json(folder / "speed.json", record)
    page, text = folder / "speed.md", markdown(machine, facts, rows)
    if page.is_file():
        before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
            text = f"{before}{BEGIN}\n{text}{END}{after}"
    write_text(page, text)


def beside(own: Measurement, peer: Measurement) -> Measurement:
    """``peer`` with how many times as fast as it Thymos is."""
    if own.missing is not None or peer.missing is not None:
        return peer
    by_cpu = own.real_time_cpu / peer.real_time_cpu
    return replace(peer, thymos_is=own.real_time / peer.real_time, thymos_is_cpu=by_cpu)


def _cells(row: Measurement) -> list[str]:
    columns = COLUMNS[row.part].values()
    if row.missing is not None:  # in the last column, most often that of notes
        return [row.name, *[NONE] * (len(columns) - 1), row.missing]
    values = [(show, getattr(row, field)) for field, show in columns]
    return [row.name, *(NONE if value is None else show(value) for show, value in values)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = ("", "what", "aim", "measured", "by CPU time", "met", "note")
    rule = "|" + "|".join("---" if head in words else "---:" for head in heads) + "|"
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
