"""``thymos audit``: what is in a corpus, what is broken, how it is distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thymos.cli.console import (
    CacheOption,
    ColumnsOption,
    CorpusArgument,
    FiguresOption,
    LabelMapOption,
    LabelsOption,
    QuietOption,
    RootOption,
    tell,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from thymos.corpora.audit import Audit
    from thymos.corpora.findings import Column, Finding

ROWS_BESIDE_REPORT = 10
"""Where a report is written, the terminal shows this many of each kind; else it is the only place for all."""


def audit(
    corpus: CorpusArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write audit.html, clips.csv and figures here."),
    ] = None,
    labels: LabelsOption = None,
    label_map: LabelMapOption = "",
    figures: FiguresOption = "png",
    root: RootOption = None,
    columns: ColumnsOption = None,
    cache_dir: CacheOption = None,
    quiet: QuietOption = False,
) -> None:
    """Say what is in a corpus, what is broken and how it is distributed.

    Exits with 1 if any file cannot be used; each is named with its reason.
    """
    from thymos.cli.console import console, label_map_of, name_unmatched, open_corpus_with_progress
    from thymos.corpora.headings import parse_columns
    from thymos.files import figure_formats
    from thymos.reports.audit_report import audit as run_audit
    from thymos.reports.audit_report import check_audit_folder

    formats = figure_formats(figures)
    if out is not None:
        check_audit_folder(out)
    mapped = label_map_of(labels, label_map)
    chosen = parse_columns(columns or ())
    opened = open_corpus_with_progress(corpus, cache_dir, quiet, mapped, root=root, columns=chosen)
    found = run_audit(opened, out, formats=formats)
    name_unmatched(found.corpus)
    print_audit(found, console, most=None if out is None else ROWS_BESIDE_REPORT)
    if out is not None:
        tell(f"Report: {out / 'audit.html'}")
    if found.unusable:
        raise typer.Exit(1)


def print_audit(audit: Audit, console: Console, most: int | None = None) -> None:
    """Print ``audit`` to ``console``: summary and ``most`` rows of every finding, the serious last.

    Files that cannot be used are all named, whatever ``most`` is. No name is cut to the width of the console.
    """
    from thymos.corpora.findings import findings

    for line in _headlines(audit):
        console.print(line, soft_wrap=True)
    console.print()
    for line in _counts_lines(audit):
        console.print(line, soft_wrap=True)
    # The end of the output is what stays in sight.
    for finding in reversed(findings(audit)):
        for line in _finding_lines(finding, None if finding.name == "unusable" else most):
            console.print(line, soft_wrap=True)
    console.print()


def _headlines(audit: Audit) -> Iterator[Text]:
    from rich.text import Text

    from thymos.corpora.findings import channels_name, printable

    root, lengths = audit.corpus.root, audit.durations
    yield Text.assemble((printable(root.name), "bold"), ("  " + printable(str(root)), "dim"))
    yield Text(
        f"{_counted(len(audit.corpus.clips), 'clip')}, {_counted(len(audit.emotions), 'emotion')}, "
        f"{lengths.total_s / 60:.1f} min: "
        f"mean {lengths.mean_s:.2f} s, median {lengths.median_s:.2f} s, "
        f"{lengths.min_s:.2f} to {lengths.max_s:.2f} s"
    )
    yield Text(str(audit.corpus.tally))
    yield from (Text(f"{name}: {told}") for name, told in audit.told_dimensions.items())
    rates = ", ".join(f"{rate_hz} Hz" for rate_hz in audit.rates_hz)
    channels = ", ".join(channels_name(count) for count in audit.channels)
    yield Text(f"{rates}; {channels}; {', '.join(audit.formats)}")
    yield from (Text(printable(note), "dim") for note in audit.corpus.notes)


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else f'{what}s'}"


def _counts_lines(audit: Audit) -> Iterator[Text]:
    from thymos.corpora.findings import Column, speaker_name

    def row(name: str, speaker: str | None) -> tuple[str, ...]:
        counts = [audit.count(emotion, speaker) for emotion in audit.emotions]
        return name, *map(str, counts), str(audit.count(speaker=speaker))

    rows = [row("all", None)]
    if audit.speakers != ("",):
        rows = [*(row(speaker_name(speaker), speaker) for speaker in audit.speakers), *rows]
    columns = (Column("speaker"), *(Column(emotion, number=True) for emotion in (*audit.emotions, "all")))
    *lines, total = _aligned(columns, rows)
    yield from lines
    total.stylize("bold")
    yield total


def _finding_lines(finding: Finding, most: int | None) -> Iterator[Text]:
    from rich.text import Text

    yield Text()
    yield Text(f"{finding.title}: {len(finding.rows)}", "bold red" if finding.serious else "bold yellow")
    yield Text(finding.note, "dim")
    if finding.name == "unusable":
        yield from (Text(f"  {name}: {reason}") for name, reason in finding.rows)
        return
    rows = finding.rows[:most]
    yield from _aligned(finding.columns, rows)
    if len(rows) < len(finding.rows):
        yield Text(f"  and {len(finding.rows) - len(rows)} more", "dim")


def _aligned(columns: Sequence[Column], rows: Sequence[tuple[str, ...]]) -> Iterator[Text]:
    """Yield heading and rows in columns, each as wide as it needs: a rich table would cut long names."""
    from rich.cells import cell_len
    from rich.text import Text

    headings = tuple(column.title for column in columns)
    widths = [max(map(cell_len, cells)) for cells in zip(headings, *rows, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        padded = []
        for cell, width, column in zip(cells, widths, columns, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if column.number else cell + space)
        return "  " + "  ".join(padded).rstrip()

    yield Text(line(headings), "dim")
    yield from (Text(line(row)) for row in rows)
