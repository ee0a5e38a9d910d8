"""A report as tables: on the terminal and as Markdown, of the same cells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thymos.bench.report import Part, Report, Row, aims
from thymos.files import write_json, write_text

JSON, MARKDOWN = "speed.json", "speed.md"
BEGIN, END = "<!-- thymos bench: begin -->", "<!-- thymos bench: end -->"
"""Where ``speed.md`` has both, only what is between them is replaced."""
_NOTHING = "–"
_NOTE = "note"
_WORDS = ("", "what", "aim", "measured", "by CPU time", "met", _NOTE)
"""Heads of columns of words; the others are of numbers."""
_PAGE_ONLY = (_NOTE, "by CPU")
"""Heads of columns for which a terminal is seldom wide enough; notes go below the table there."""
_TITLES: dict[Part, str] = {
    "start": "From a new process to its end",
    "files": "Whole files, 44.1 kHz FLAC, decoding and resampling included; ms for a second of sound, median and p95",
    "stream": "A live stream: work in each hop",
    "long": "Long files, 44.1 kHz WAV made while it is read",
    "install": "The light install",
}


@dataclass(frozen=True)
class Cells:
    """A table: title, heads, and a row of text for each row of measurements."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def all_cells(report: Report) -> list[Cells]:
    """Return the tables of ``report``: one of each part, and one of the aims."""
    tables = [_cells(report, part) for part in _TITLES if any(row.part == part for row in report.rows)]
    rows: list[tuple[str, ...]] = [
        (aim.what, aim.aim, aim.measured, aim.by_cpu, "yes" if aim.met else "no") for aim in aims(report)
    ]
    return [*tables, Cells("Aims", ("what", "aim", "measured", "by CPU time", "met"), rows)]


def headline(report: Report) -> list[str]:
    """Return sentences that say where, when and of what the tables are."""
    machine = report.machine
    memory = "" if machine.memory_gb is None else f", {machine.memory_gb:g} GB of memory"
    cores = f"{machine.cores} core{'s' * (machine.cores > 1)}"
    threads = "1 thread on 1 core" if report.threads == 1 else f"{report.threads} threads on as many cores"
    lines = [
        f"{machine.processor}, {cores}{memory}, {machine.system}; {threads}, a process for each row.",
        f"Model {report.model}; " + ", ".join(f"{name} {version}" for name, version in machine.versions.items()) + ".",
        f"{machine.date}, in {report.wall_s / 60:.1f} minutes.",
    ]
    if machine.load_average is not None:
        lines[-1] += f" Load average at the start {machine.load_average:.2f}."
    if machine.is_busy:
        lines.append("The machine was busy: times by the clock are longer than on a quiet one, see CPU time.")
    if report.quick:
        lines.append("A quick run: few repeats, so it only says roughly how fast this is.")
    return lines


def rich_tables(report: Report) -> list[Table | Text]:
    """Return the tables for a terminal, notes below each."""
    shown: list[Table | Text] = []
    for cells in all_cells(report):
        columns = [i for i, head in enumerate(cells.heads) if head not in _PAGE_ONLY]
        table = Table(title=cells.title, title_justify="left")
        for i in columns:
            head = cells.heads[i]
            if head in _WORDS:
                table.add_column(head)
            else:  # words may be broken, numbers never
                table.add_column(head, justify="right", min_width=max(len(row[i]) for row in cells.rows))
        for row in cells.rows:
            table.add_row(*(escape(row[i]) for i in columns))
        shown.append(table)
        if _NOTE in cells.heads:
            notes = [f"{row[0]}: {row[-1]}\n" for row in cells.rows if row[-1] not in ("", _NOTHING)]
            shown.append(Text("".join(notes)))
    return shown


def markdown(report: Report) -> str:
    """Return the headline and the tables as Markdown."""
    parts = ["\n".join(f"- {line}" for line in headline(report))]
    for cells in all_cells(report):
        lines = [f"### {cells.title}", "", _line(cells.heads)]
        lines.append("|" + "|".join("---" if head in _WORDS else "---:" for head in cells.heads) + "|")
        parts.append("\n".join([*lines, *(_line(row) for row in cells.rows)]))
    return "\n\n".join(parts) + "\n"


def write_report(report: Report, folder: Path) -> None:
    """Write ``speed.json`` and ``speed.md`` to ``folder``; a page that has the marks keeps what is around them."""
    write_json(folder / JSON, report.model_dump(mode="json"))
    page, text = folder / MARKDOWN, markdown(report)
    if page.is_file():
        before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
            text = f"{before}{BEGIN}\n{text}{END}{after}"
    write_text(page, text)


def _cells(report: Report, part: Part) -> Cells:
    columns = _columns(report)[part]
    rows: list[tuple[str, ...]] = []
    for row in report.rows:
        if row.part != part:
            continue
        if row.missing is None:
            rows.append((row.name, *(show(row) for show in columns.values())))
        else:
            rows.append((row.name, *[_NOTHING] * (len(columns) - 1), row.missing))  # the note is the last column
    return Cells(_TITLES[part], ("", *columns), rows)


def _columns(report: Report) -> dict[Part, dict[str, Callable[[Row], str]]]:
    """Return the columns of each part's table by their heads: what makes the text of a row."""
    speed: dict[str, Callable[[Row], str]] = {
        "× real time": lambda row: _number(row.real_time),
        "× by CPU": lambda row: _number(row.real_time_cpu),
    }
    peak: dict[str, Callable[[Row], str]] = {"peak MB": lambda row: _whole(row.peak_mb)}
    note: dict[str, Callable[[Row], str]] = {_NOTE: lambda row: row.note}
    return {
        "start": {
            "median s": lambda row: _s(row.median_ms),
            "p95 s": lambda row: _s(row.p95_ms),
            "CPU s": lambda row: _s(row.cpu_ms),
            **peak,
            "starts": lambda row: str(row.repeats),
            **note,
        },
        "files": {
            **speed,
            "ms/s": lambda row: _ms(row.median_ms),
            "p95": lambda row: _ms(row.p95_ms),
            **peak,
            "files": lambda row: str(row.repeats),
            "Thymos is": lambda row: _times(report, row, False),
            "by CPU": lambda row: _times(report, row, True),
            **note,
        },
        "stream": {
            "median ms": lambda row: _ms(row.median_ms),
            "p95 ms": lambda row: _ms(row.p95_ms),
            "p99 ms": lambda row: _ms(row.p99_ms),
            "CPU ms": lambda row: _ms(row.cpu_ms),
            **peak,
            "hops": lambda row: str(row.repeats),
            **note,
        },
        "long": {**speed, "ms/s": lambda row: _ms(row.median_ms), **peak, **note},
        "install": {"disk MB": lambda row: _whole(row.disk_mb), "s": lambda row: _s(row.median_ms), **note},
    }


def _times(report: Report, row: Row, by_cpu: bool) -> str:
    times = report.times_as_fast(row, by_cpu)
    return _NOTHING if times is None else f"{times:.1f} ×"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _s(milliseconds: float | None) -> str:
    return _NOTHING if milliseconds is None else f"{milliseconds / 1000:.3f}"


def _ms(milliseconds: float | None) -> str:
    return _NOTHING if milliseconds is None else f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def _whole(number: float | None) -> str:
    return _NOTHING if number is None else f"{number:.0f}"


def _number(number: float | None) -> str:
    return _NOTHING if number is None else f"{number:.0f}" if number >= 10 else f"{number:.1f}"
