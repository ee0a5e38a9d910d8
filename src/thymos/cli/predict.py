"""``thymos predict``: which emotion is heard in files and folders."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.cli.console import (
    ChosenOption,
    FiguresOption,
    ModelOption,
    QuietOption,
    VoiceOption,
    VoicesOption,
    chosen_labels,
    not_heard,
    progress,
    say,
)
from thymos.errors import AudioError, MissingExtraError, ThymosError
from thymos.escaping import json_line
from thymos.runtime.formats import (
    PER_FILE,
    Format,
    ResultRow,
    csv_lines,
    srt,
    table_head,
    table_lines,
    textgrid,
)
from thymos.streams import write_line

if TYPE_CHECKING:
    from thymos.cli.inputs import NamedRecording
    from thymos.cli.rows import DecidedRow
    from thymos.runtime.recognizer import Recognizer


class OutputError(ThymosError):
    """The options do not go together."""


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Files, folders (searched through), globs, or - for standard input."),
    ],
    model: ModelOption = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Say also from when to when.")] = False,
    format: Annotated[
        Format | None, typer.Option(help="How results are written (default: as --out is named, else a table).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this file (textgrid, srt: folder), whole or not at all, instead of printing."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out names, whatever is in it, but no recording.")
    ] = False,
    labels: ChosenOption = None,
    voice: VoiceOption = None,
    voices: VoicesOption = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Hear everything first, and take out what is the voice's, room's or line's.")
    ] = False,
    speaker_from: Annotated[
        str | None,
        typer.Option(
            metavar="folder|PATTERN|TABLE.csv:COLUMN",
            help="With --adapt, who speaks: each folder another; what a regular expression finds in the path (its first"
            " group, or all); a column of a table with the column file. Without it, all files are of one voice.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw which regions of time and frequency carried the decision.")
    ] = False,
    explain_out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where --explain draws (default: here).")
    ] = None,
    figures: FiguresOption = "png",
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Have a `thymos serve` hear them; a token is in THYMOS_TOKEN.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Files heard at once (default: one a core).")] = None,
    quiet: QuietOption = False,
) -> None:
    """Say which emotion is heard in recordings, and how sure that is; with --timeline, also where; with --explain, why.

    Results appear as soon as they are known, with --adapt once all is heard. Files that cannot be heard are named, and
    the exit code is then 1. With --out, the same command goes on where an earlier one was cut short.
    """
    from thymos.cli.groups import groups_of
    from thymos.cli.inputs import find_recordings
    from thymos.cli.journal import Journal, journal_path
    from thymos.cli.outputs import check_outputs, format_of, result_files
    from thymos.cli.rows import rows_adapted, rows_at_once
    from thymos.files import figure_formats, is_stream
    from thymos.runtime.recognizer import load
    from thymos.runtime.voice import find_voice
    from thymos.serving.remote import RemoteRecognizer

    if server is not None and (adapt or voice is not None or explain or explain_out is not None):
        raise OutputError("--server has recordings heard elsewhere: without --voice, --adapt and --explain")
    formats = figure_formats(figures)
    recordings = find_recordings(paths, say)
    if adapt and voice is not None:
        raise OutputError(
            "--adapt finds out what a voice is like, and --voice names one that is known: give one of both"
        )
    if speaker_from is not None and not adapt:
        raise OutputError("--speaker-from says whose voices --adapt takes out: give both")
    if adapt and any(recording.path is None and recording.problem is None for recording in recordings):
        raise OutputError("--adapt compares recordings of a voice, and standard input is a single one: name files")
    format = format_of(format, out)
    per_file = format in PER_FILE
    timeline = timeline or per_file
    if per_file and out is None and len(recordings) != 1:
        raise OutputError(
            f"--format {format} makes a file for each of {len(recordings)} recordings: name a folder by --out"
        )
    files: list[Path] = []
    if out is not None:
        files = result_files(recordings, out, format) if per_file else [out]
        inputs = [recording.path for recording in recordings if recording.path is not None]
        names = None if per_file else [recording.name for recording in recordings]
        check_outputs(files, inputs, overwrite or journal_path(out).is_file(), names)
    draw = None
    if explain or explain_out is not None:
        if any(recording.path is None and recording.problem is None for recording in recordings):
            raise OutputError("--explain reads a recording twice, and standard input comes once: name a file")
        draw = _figures(explain_out or Path(), formats)
    recognizer: Any  # a server's has what is needed here
    if server is None:
        recognizer = load(model, threads).among(chosen_labels(labels))
        decides: dict[str, Any] = {"model": recognizer.bundle.about.sha256, "timeline": timeline}
    else:
        recognizer = RemoteRecognizer.find(server, model).among(chosen_labels(labels))
        decides = {"model": recognizer.sha256, "timeline": timeline, "labels": recognizer.labels}
    if server is not None:
        hear = partial(rows_at_once, recognizer, recordings)
    elif adapt:
        _ = recognizer.space  # a model without is known before anything is heard
        groups = groups_of(recordings, speaker_from)
        decides["keeps"] = "what was heard"  # labels and voices are decided on later
        hear = partial(rows_adapted, recognizer, recordings, groups)
    else:
        known = None if voice is None else find_voice(voice, voices)
        recognizer = recognizer.for_voice(known)
        decides["labels"] = recognizer.labels
        if known is not None:
            decides["voice"] = known.coordinates.tolist()
        hear = partial(rows_at_once, recognizer, recordings, voice=None if known is None else known.name)
    journal = None if out is None or is_stream(out) else Journal(out, decides)
    if journal is not None and journal.damaged:
        say(
            f"lines of {journal.path} that were torn or changed: {journal.damaged}; what they told is heard again",
            "yellow",
        )
    failures = 0
    rows: list[ResultRow] = []
    show = _printer(format, recognizer, timeline) if out is None else rows.append
    with journal or nullcontext(), progress(quiet or (out is None and not adapt)) as bars:
        task = bars.add_task("Listening", total=len(recordings))
        decided: Iterator[DecidedRow] = hear(timeline=timeline, journal=journal, advance=lambda: bars.advance(task))
        for recording, row, decider in decided:
            if "error" in row:
                failures += 1
                not_heard(recording.name, row["error"])
            show(row)
            if draw is not None and row.get("emotion") is not None:
                draw(decider, recording)
    if out is not None:
        if per_file:
            failures += _write_each(files, rows, format)
        else:
            _write_file(out, rows, format, recognizer, timeline)
    if journal is not None:
        journal.remove()
    if failures:
        if len(recordings) > 1:
            say(f"{len(recordings) - failures} of {len(recordings)} recordings were heard")
        raise typer.Exit(1)


def _figures(folder: Path, formats: Sequence[str]) -> "Callable[[Recognizer, NamedRecording], None]":
    """Return what draws the explanation of a recording into ``folder``, and says where.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from thymos.reports.explanation_figure import write_explanation
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("--explain draws by matplotlib: pip install 'thymos[plots]'") from None
    drawn: set[Path] = set()

    def draw(recognizer: "Recognizer", recording: "NamedRecording") -> None:
        assert recording.path is not None
        stem, number = folder / f"{recording.inside}.explain", 1
        while stem in drawn:  # another folder's file of the same name
            number += 1
            stem = folder / f"{recording.inside}.{number}.explain"
        try:
            source: Any = recording.source
            explanation = recognizer.explain(source)
        except AudioError as error:
            say(f"not explained: {recording.name} {error.reason}", "yellow")
            return
        drawn.add(stem)
        paths = ", ".join(map(str, write_explanation(explanation, recording.path.name, stem, formats)))
        say(f"{recording.name}: {explanation}; drawn: {paths}")

    return draw


def _printer(format: Format, recognizer: "Recognizer", timeline: bool) -> Callable[[ResultRow], None]:
    """Return what prints a row to standard output at once."""
    first = True

    def show(row: ResultRow) -> None:
        nonlocal first
        if format == "jsonl":
            text = json_line(row)
        elif format == "csv":
            text = csv_lines([row], recognizer.labels, timeline, first, recognizer.dimensions).removesuffix("\n")
        elif "error" in row:
            return  # it has been named already
        elif format == "table":
            head = [table_head(recognizer.labels)] if first else []
            text = "\n".join([*head, *table_lines(row, recognizer.labels)])
        else:
            text = _one(row, format).removesuffix("\n")
        first = False
        write_line(text)

    return show


def _one(row: ResultRow, format: Format) -> str:
    return textgrid(row) if format == "textgrid" else srt(row)


def _write_file(out: Path, rows: list[ResultRow], format: Format, recognizer: "Recognizer", timeline: bool) -> None:
    from thymos.files import write_text

    if format == "jsonl":
        text = "".join(json_line(row) + "\n" for row in rows)
    elif format == "csv":
        text = csv_lines(rows, recognizer.labels, timeline, True, recognizer.dimensions)
    else:
        labels = recognizer.labels
        lines = [table_head(labels), *(line for row in rows for line in table_lines(row, labels))]
        text = "".join(line + "\n" for line in lines)
    write_text(out, text)


def _write_each(files: Sequence[Path], rows: Sequence[ResultRow], format: Format) -> int:
    """Write a file for each recording that was heard; name those that cannot be written, and return how many."""
    from thymos.files import write_text

    failures = 0
    for path, row in zip(files, rows, strict=True):
        if "error" in row:
            continue
        try:
            write_text(path, _one(row, format))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            failures += 1
            say(f"not written: {path}: {error.strerror}", "yellow")
    return failures
