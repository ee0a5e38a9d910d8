"""``thymos predict``: which emotion is heard in files and folders."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from thymos.audio.containers import REMARKS
from thymos.cli.console import (
    ChosenOption,
    FiguresOption,
    ModelOption,
    QuietOption,
    Throughput,
    VadOption,
    VoiceOption,
    VoicesOption,
    chosen_labels,
    not_heard,
    progress,
    say,
)
from thymos.errors import ThymosError
from thymos.runtime.formats import IN_TIME, Columns, Format

if TYPE_CHECKING:
    from thymos.cli.inputs import NamedRecording
    from thymos.cli.journal import Journal
    from thymos.cli.outputs import Outputs
    from thymos.cli.rows import DecidedRow
    from thymos.runtime.recognizer import Recognizer


class OutputError(ThymosError):
    """The options do not go together."""


def predict(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH…", help="Files, folders (searched through), globs, or - for standard input."),
    ] = None,
    model: ModelOption = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Say also from when to when.")] = False,
    format: Annotated[
        Format | None, typer.Option(help="How results are written (default: as --out is named, else a table).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write to this file, whole or not at all, instead of printing; to a folder in formats of one recording"
            " (textgrid, srt, vtt, audacity, eaf); or a file for each, as in emotions/{folder}/{stem}.json."
        ),
    ] = None,
    beside: Annotated[
        bool,
        typer.Option("--beside", help="Write a file beside each recording (JSON, unless --format says otherwise)."),
    ] = False,
    watch: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Hear what lies there and what arrives, once it is complete; no PATH."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out names, whatever is in it, but no recording.")
    ] = False,
    shortest: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Shortest stretch of a timeline (default: 0.5).")
    ] = None,
    vad_threshold: VadOption = None,
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
    channels: Annotated[
        str,
        typer.Option(
            metavar="mix|split|N",
            help="Which channels are heard: all as one; each by itself, as the two ends of a call; or number N alone.",
        ),
    ] = "mix",
    speakers: Annotated[
        int | None,
        typer.Option(min=2, max=2, help="Experimental: tell two voices of one channel apart, and hear each by itself."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray[:ADDRESS]",
            help="Who hears: processes of this machine, or a Ray cluster, such as ray:auto or ray:HOST:PORT (default:"
            " threads of this process). --out may then be a folder, for results in parts.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that hear, each with a model of its own (default: one a core).")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Hear this one of N parts, about as large as one another; thymos merge joins."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Files heard at once (default: one a core).")] = None,
    quiet: QuietOption = False,
) -> None:
    """Say which emotion is heard in recordings, and how sure that is; with --timeline, also where; with --explain, why.

    Results appear as soon as they are known, with --adapt once all is heard. Files that cannot be heard are named, and
    the exit code is then 1. With --out, the same command goes on where an earlier one was cut short.
    """
    from thymos.cli.inputs import by_channel, by_speaker, find_recordings
    from thymos.cli.outputs import Outputs, outputs_of
    from thymos.cli.parts import of_shard
    from thymos.cli.watching import Arrivals, WatchedOutputs, hear_arrivals
    from thymos.files import figure_formats

    explain = explain or explain_out is not None
    asked = {
        "PATH": bool(paths), "--watch": watch is not None, "--server": server is not None, "--voice": voice is not None,
        "--adapt": adapt, "--speaker-from": speaker_from is not None, "--speakers": speakers is not None,
        "--vad-threshold": vad_threshold is not None, "--shortest": shortest is not None, "--explain": explain,
        "--channels": channels != "mix", "--shard": shard is not None, "--threads": threads is not None,
        "--engine": engine is not None or workers is not None,
    }  # fmt: skip
    given = {option for option, is_asked in asked.items() if is_asked}
    _check_together(given)
    formats = figure_formats(figures)
    told = {"timeline": timeline, "labels": labels, "voice": voice, "vad": vad_threshold, "shortest": shortest}
    recordings = by_channel(of_shard(find_recordings(paths or (), say), shard, told), channels)
    if speakers is not None:
        recordings = by_speaker(recordings, speakers)
    if any(recording.is_piped for recording in recordings):
        _check_piped(adapt, explain)
    arrivals = None if watch is None else Arrivals(watch)
    outputs: Outputs | WatchedOutputs
    if arrivals is None:
        outputs = outputs_of(recordings, format, out, beside, overwrite, "--engine" in given)
    else:
        outputs = WatchedOutputs(format, out, beside, overwrite)
    timeline = timeline or outputs.format in IN_TIME
    draw = None
    if explain:
        from thymos.cli.show import explanations_drawn

        draw = explanations_drawn(explain_out or Path(), formats)
    tuning = {"vad_threshold": vad_threshold, "shortest": shortest}
    spread = (engine or "local", workers) if "--engine" in given else None
    model_asked = ModelAsked(model, server, threads, chosen_labels(labels), voice, voices, tuning, spread)
    way = _way_to_hear(model_asked, recordings, adapt, speaker_from, speakers is not None, timeline)
    journal = None if outputs.journal is None else _journal_of(outputs.journal, way.decides)
    columns = Columns(way.recognizer.labels, timeline, way.recognizer.dimensions, shard is not None)
    if arrivals is not None and isinstance(outputs, WatchedOutputs):
        own = partial(way.hear, timeline=timeline, journal=journal, advance=lambda duration_s, known: None)
        with journal or nullcontext():
            hear_arrivals(arrivals, outputs, columns, journal, lambda batch: own(by_channel(batch, channels)))
    assert isinstance(outputs, Outputs)  # the other never ends
    hear = partial(way.hear, recordings, timeline=timeline, journal=journal)
    failures = _hear_all(
        recordings, hear, outputs, columns, journal, draw, quiet, quiet or (outputs.printed and not adapt)
    )
    if failures:
        if len(recordings) > 1:
            say(f"{len(recordings) - failures} of {len(recordings)} recordings were heard")
        raise typer.Exit(1)


_NOT_TOGETHER = (
    ("--server", ("--voice", "--adapt", "--explain"),
     "--server has recordings heard elsewhere: without --voice, --adapt and --explain"),
    ("--watch", ("PATH", "--adapt", "--explain"),
     "--watch hears what arrives in its folder: without PATH, --adapt and --explain"),
    ("--speakers", ("--watch", "--voice", "--adapt", "--explain"),
     "--speakers finds voices by itself: without --watch, --voice, --adapt and --explain"),
    ("--shard", ("--adapt", "--watch"), "--shard hears a part of a list by itself: without --adapt and --watch"),
    ("--engine", ("--server", "--watch", "--speakers", "--threads"),
     "--engine and --workers have others hear: without --server, --watch, --speakers, --threads"),
    ("--adapt", ("--voice",),
     "--adapt finds out what a voice is like, and --voice names one that is known: give one of both"),
)  # fmt: skip
"""An option, those that it cannot be given with, and why."""


def _check_together(asked: set[str]) -> None:
    """Check that what is asked for, by the names of options, goes together."""
    if not {"PATH", "--watch"} & asked:
        raise OutputError("nothing to hear is named: give files or folders, - for standard input, or --watch FOLDER")
    for option, others, sentence in _NOT_TOGETHER:
        if option in asked and asked.intersection(others):
            raise OutputError(sentence)
    if "--speaker-from" in asked and "--adapt" not in asked:
        raise OutputError("--speaker-from says whose voices --adapt takes out: give both")


def _check_piped(adapt: bool, explain: bool) -> None:
    """Check that nothing is asked for that standard input, which comes once, cannot give."""
    if adapt:
        raise OutputError("--adapt compares recordings of a voice, and standard input is a single one: name files")
    if explain:
        raise OutputError("--explain reads a recording twice, and standard input comes once: name a file")


class ModelAsked(NamedTuple):
    """Which model hears, where, and how it is set."""

    model: str | None
    server: str | None
    threads: int | None
    labels: list[str] | None
    voice: str | None
    voices: Path | None
    tuning: dict[str, float | None]
    """``vad_threshold`` and ``shortest``."""
    spread: tuple[str, int | None] | None
    """The engine whose workers hear, and how many they are; None: this process."""


class WayToHear(NamedTuple):
    """How recordings are heard.

    Attributes:
        recognizer: what hears them; a server's has what is needed here.
        hear: one of the functions of ``cli.rows``, which takes the recordings.
        decides: what decides answers, so that a journal of others is not gone on with.
    """

    recognizer: Any
    hear: "Callable[..., Iterator[DecidedRow]]"
    decides: dict[str, Any]


def _way_to_hear(
    asked: ModelAsked,
    recordings: "Sequence[NamedRecording]",
    adapt: bool,
    speaker_from: str | None,
    by_speaker: bool,
    timeline: bool,
) -> WayToHear:
    """Return how ``recordings`` are heard: by a server, each voice apart, adapted to each other, or each at once."""
    from thymos.cli.inputs import groups_of
    from thymos.cli.rows import rows_adapted, rows_at_once, rows_of_speakers
    from thymos.runtime.adaptation import find_voice
    from thymos.runtime.recognizer import load
    from thymos.runtime.speakers import predict_speakers

    tuning = asked.tuning["vad_threshold"], asked.tuning["shortest"]
    tuned = {name: value for name, value in asked.tuning.items() if value is not None}
    if asked.server is not None:
        from thymos.serving.remote import RemoteRecognizer

        remote = RemoteRecognizer.find(asked.server, asked.model).among(asked.labels).tuned(*tuning)
        decides = {"model": remote.sha256, "timeline": timeline, "labels": remote.labels} | tuned
        if by_speaker:
            hear = partial(rows_of_speakers, cast(Any, remote), hear=RemoteRecognizer.predict_speakers)
            return WayToHear(remote, hear, decides)
        return WayToHear(remote, partial(rows_at_once, cast(Any, remote)), decides)
    recognizer = load(asked.model, asked.threads).among(asked.labels).tuned(*tuning)
    if asked.spread is not None:
        from thymos.cli.spread import SpreadRecognizer

        recognizer = SpreadRecognizer(recognizer, *asked.spread)
    if timeline:
        recognizer.needs_emotions("a timeline, or a format that says from when to when,")
    decides = {"model": recognizer.bundle.about.sha256, "timeline": timeline}
    decides |= tuned
    if by_speaker:
        return WayToHear(recognizer, partial(rows_of_speakers, recognizer, hear=predict_speakers), decides)
    if adapt:
        _ = recognizer.space  # a model without is known before anything is heard
        groups = groups_of(recordings, speaker_from)
        decides["keeps"] = "what was heard"  # labels and voices are decided on later
        return WayToHear(recognizer, partial(rows_adapted, recognizer, groups=groups), decides)
    known = None if asked.voice is None else find_voice(asked.voice, asked.voices)
    recognizer = recognizer.for_voice(known)
    decides["labels"] = recognizer.labels
    if known is not None:
        decides["voice"] = known.coordinates.tolist()
    hear = partial(rows_at_once, recognizer, voice=None if known is None else known.name)
    return WayToHear(recognizer, hear, decides)


def _journal_of(out: Path, decides: dict[str, Any]) -> "Journal":
    """Return the journal that belongs to ``out`` and to what ``decides`` answers; say what it has lost."""
    from thymos.cli.journal import Journal

    journal = Journal(out, decides)
    if journal.damaged:
        say(
            f"lines of {journal.path} that were torn or changed: {journal.damaged}; what they told is heard again",
            "yellow",
        )
    return journal


def _hear_all(
    recordings: "Sequence[NamedRecording]",
    hear: "Callable[..., Iterator[DecidedRow]]",
    outputs: "Outputs",
    columns: Columns,
    journal: "Journal | None",
    draw: "Callable[[Recognizer, NamedRecording], None] | None",
    quiet: bool,
    no_progress: bool,
) -> int:
    """Hear ``recordings`` and write what is heard; return of how many there is no result, each of which is named."""
    from thymos.cli.writing import writer_of

    failures, remarks = 0, Counter[str]()
    writer = writer_of(outputs, columns)
    with journal or nullcontext(), progress(no_progress) as bars:
        heard = Throughput(bars, len(recordings))
        for recording, row, decider, _ in hear(advance=heard.take):
            if "error" in row:
                failures += 1
                not_heard(recording.name, row["error"])
            remarks.update(row.get("flags", ()))
            writer.take(row)
            if draw is not None and row.get("emotion") is not None:
                draw(decider, recording)
    writer.finish()
    for remark, words in REMARKS.items():
        if remarks[remark]:
            say(f"{remark}: {words} ({remarks[remark]} of {len(recordings)})")
    if journal is not None:
        journal.remove()
    if not quiet and not outputs.printed and len(recordings) > 1:
        say(str(heard))
    return failures + writer.failures
