"""The result of ``thymos bench``: rows of measurements, what compares them, and what was aimed at."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from thymos.bench.machine import Machine
from thymos.config import Settings

FORMAT = 1
_NOTHING = "–"
Part = Literal["start", "files", "stream", "long", "install"]
OWN, TORCH_ANSWER, COMMAND, IMPORT = "Thymos", "the same through torch", "thymos predict", "import thymos"


class Row(Settings):
    """One measurement. Times are of the part's unit of work: a start, a second of sound, a hop."""

    part: Part
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
    """Seconds of sound heard in all."""
    real_time: float | None = None
    """Seconds of sound heard in a second: all sound by all time."""
    real_time_cpu: float | None = None
    """The same by the processor's time."""
    peak_mb: float | None = None
    """Most memory at once, in 10⁶ bytes."""
    disk_mb: float | None = None
    note: str = ""


class Aim(Settings):
    """Something that was aimed at, and what was measured."""

    what: str
    aim: str
    measured: str
    """By the clock."""
    by_cpu: str
    """The same by CPU time: what the clock would say, on one thread, of a machine that does nothing else."""
    met: bool
    """By the clock."""


class Report(Settings):
    """All that ``speed.json`` holds."""

    format: int = FORMAT
    machine: Machine
    threads: int
    quick: bool
    model: str
    """Name and version of the model that was measured."""
    wall_s: float
    rows: tuple[Row, ...]

    def row(self, part: Part, name: str) -> Row | None:
        """Return the row of that name if it was measured."""
        found = [row for row in self.rows if (row.part, row.name) == (part, name) and row.missing is None]
        return found[0] if found else None

    def times_as_fast(self, peer: Row, by_cpu: bool = False) -> float | None:
        """Return how many times as fast as ``peer`` Thymos hears files, in this run, by the clock or by CPU time."""
        own = self.row("files", OWN)
        if own is None or own.name == peer.name:
            return None
        mine, its = (row.real_time_cpu if by_cpu else row.real_time for row in (own, peer))
        return None if mine is None or its is None else mine / its


def aims(report: Report) -> list[Aim]:
    """Return the aims that this run says something about, for one thread."""
    found: list[Aim] = []

    def add(what: str, aim: str, measured: str, met: bool, by_cpu: str = _NOTHING) -> None:
        found.append(Aim(what=what, aim=aim, measured=measured, by_cpu=by_cpu, met=met))

    if (row := report.row("start", IMPORT)) and row.median_ms:
        add("import thymos", "below 0.15 s", _s(row.median_ms), row.median_ms < 150, _s(row.cpu_ms))
    command, torch_answer = report.row("start", COMMAND), report.row("start", TORCH_ANSWER)
    if command and command.median_ms:
        met = command.median_ms < 1000
        add("a clip's answer from a new process", "below 1.0 s", _s(command.median_ms), met, _s(command.cpu_ms))
        if torch_answer and torch_answer.median_ms:
            times = torch_answer.median_ms / command.median_ms
            by_cpu = f"1/{torch_answer.cpu_ms / command.cpu_ms:.1f}" if torch_answer.cpu_ms and command.cpu_ms else ""
            add("the same beside torch", "below 1/3", f"1/{times:.1f}", times > 3, by_cpu or _NOTHING)
    if (row := report.row("files", OWN)) and row.real_time:
        by_cpu = f"{row.real_time_cpu:.0f} ×" if row.real_time_cpu else _NOTHING
        aim = "200 × real time, better 500"
        add("whole files, one core", aim, f"{row.real_time:.0f} ×", row.real_time >= 200, by_cpu)
    for row in report.rows:
        if row.part == "stream" and row.missing is None and row.median_ms and row.p95_ms:
            highest = row.p99_ms or row.p95_ms
            percentile = "p99" if row.p99_ms else "p95 (too few hops for p99)"
            by_cpu = f"{row.cpu_ms:.1f} ms (median)" if row.cpu_ms else _NOTHING
            measured, met = f"{row.median_ms:.1f} and {highest:.1f} ms", row.median_ms < 10 and highest < 30
            add(f"a stream's hop, median and {percentile}", "below 10 and 30 ms, better half", measured, met, by_cpu)
    long = [row for row in report.rows if row.part == "long" and row.missing is None]
    long.sort(key=lambda row: row.sound_s or 0)
    if long and long[-1].peak_mb:
        add("peak memory of the longest file", "below 400 MB", f"{long[-1].peak_mb:.0f} MB", long[-1].peak_mb < 400)
    if len(long) > 1 and long[0].peak_mb and long[-1].peak_mb and long[0].median_ms and long[-1].median_ms:
        memory = long[-1].peak_mb / long[0].peak_mb
        add("its memory beside the shortest file's", "at most 1.2 ×", f"{memory:.2f} ×", memory <= 1.2)
        time = long[-1].median_ms / long[0].median_ms
        by_cpu = f"{long[-1].cpu_ms / long[0].cpu_ms:.2f} ×" if long[-1].cpu_ms and long[0].cpu_ms else _NOTHING
        what = "its time for a second of sound beside that"
        add(what, "about 1 × (linear)", f"{time:.2f} ×", 0.8 <= time <= 1.25, by_cpu)
    return found


def timed_row(
    part: Part,
    name: str,
    wall_s: Sequence[float],
    cpu_s: Sequence[float | None],
    sound_s: Sequence[float] | None = None,
    peak_mb: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of repeats that took ``wall_s`` seconds by the clock and ``cpu_s`` of the processor.

    Args:
        part: of the report.
        name: of the row.
        wall_s: at least one.
        cpu_s: as many; None where unknown.
        sound_s: seconds of sound that each heard: times are then for one second of it.
        peak_mb: most memory.
        note: for people.
    """
    work = sound_s or [1.0] * len(wall_s)
    walls = [1000 * wall / one for wall, one in zip(wall_s, work, strict=True)]
    known = [(cpu, one) for cpu, one in zip(cpu_s, work, strict=True) if cpu is not None]
    cpus = [1000 * cpu / one for cpu, one in known]
    return Row(
        part=part,
        name=name,
        repeats=len(walls),
        median_ms=float(np.median(walls)),
        p95_ms=float(np.percentile(walls, 95)) if len(walls) > 1 else None,
        p99_ms=float(np.percentile(walls, 99)) if len(walls) >= 100 else None,
        cpu_ms=float(np.median(cpus)) if cpus else None,
        sound_s=sum(sound_s) if sound_s else None,
        real_time=sum(sound_s) / sum(wall_s) if sound_s else None,
        real_time_cpu=sum(one for _, one in known) / sum(cpu for cpu, _ in known) if sound_s and known else None,
        peak_mb=peak_mb,
        note=note,
    )


def _s(milliseconds: float | None) -> str:
    return _NOTHING if milliseconds is None else f"{milliseconds / 1000:.2f} s"
