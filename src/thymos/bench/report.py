"""The result of ``thymos bench``: rows of measurements, what compares them, and what was aimed at."""

import math
from collections.abc import Sequence
from typing import Literal

from thymos.bench.machine import Machine
from thymos.settings import Settings

FORMAT = 1
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
    met: bool


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

    def times_as_fast(self, peer: Row) -> float | None:
        """Return how many times as fast as ``peer`` Thymos hears files, in this run."""
        own = self.row("files", OWN)
        if own is None or own.real_time is None or peer.real_time is None:
            return None
        return own.real_time / peer.real_time


def aims(report: Report) -> list[Aim]:
    """Return the aims that this run says something about, for one thread."""
    found: list[Aim] = []

    def add(what: str, aim: str, measured: str, met: bool) -> None:
        found.append(Aim(what=what, aim=aim, measured=measured, met=met))

    if (row := report.row("start", IMPORT)) and row.median_ms:
        add("import thymos", "below 0.15 s", f"{row.median_ms / 1000:.2f} s", row.median_ms < 150)
    command, torch_answer = report.row("start", COMMAND), report.row("start", TORCH_ANSWER)
    if command and command.median_ms:
        add("a clip's answer from a new process", "below 1.0 s", _s(command.median_ms), command.median_ms < 1000)
        if torch_answer and torch_answer.median_ms:
            share = command.median_ms / torch_answer.median_ms
            add("the same beside torch", "below 1/3", f"1/{1 / share:.1f}", share < 1 / 3)
    if (row := report.row("files", OWN)) and row.real_time:
        add("whole files, one core", "200 × real time, better 500", f"{row.real_time:.0f} ×", row.real_time >= 200)
    for row in report.rows:
        if row.part == "stream" and row.missing is None and row.median_ms and row.p99_ms:
            met = row.median_ms < 10 and row.p99_ms < 30
            measured = f"{row.median_ms:.1f} and {row.p99_ms:.1f} ms"
            add("a stream's hop, median and p99", "below 10 and 30 ms, better half", measured, met)
    long = sorted(
        (row for row in report.rows if row.part == "long" and row.missing is None), key=lambda row: row.sound_s or 0
    )
    if long and long[-1].peak_mb:
        add("peak memory of the longest file", "below 400 MB", f"{long[-1].peak_mb:.0f} MB", long[-1].peak_mb < 400)
    if len(long) > 1 and long[0].peak_mb and long[-1].peak_mb and long[0].median_ms and long[-1].median_ms:
        memory = long[-1].peak_mb / long[0].peak_mb
        add("its memory beside the shortest file's", "at most 1.2 ×", f"{memory:.2f} ×", memory <= 1.2)
        time = long[-1].median_ms / long[0].median_ms
        add("its time a second of sound, beside that", "about 1 × (linear)", f"{time:.2f} ×", 0.8 <= time <= 1.25)
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
    walls = sorted(1000 * wall / one for wall, one in zip(wall_s, work, strict=True))
    known = [(cpu, one) for cpu, one in zip(cpu_s, work, strict=True) if cpu is not None]
    cpus = sorted(1000 * cpu / one for cpu, one in known)
    return Row(
        part=part,
        name=name,
        repeats=len(walls),
        median_ms=percentile(walls, 50),
        p95_ms=percentile(walls, 95) if len(walls) > 1 else None,
        p99_ms=percentile(walls, 99) if len(walls) >= 100 else None,
        cpu_ms=percentile(cpus, 50) if cpus else None,
        sound_s=sum(sound_s) if sound_s else None,
        real_time=sum(sound_s) / sum(wall_s) if sound_s else None,
        real_time_cpu=sum(one for _, one in known) / sum(cpu for cpu, _ in known) if sound_s and known else None,
        peak_mb=peak_mb,
        note=note,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile of ``ordered`` (ascending, not empty), interpolated between neighbours."""
    place = share / 100 * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _s(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"
