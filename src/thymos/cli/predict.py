"""``thymos predict``: which emotion is heard in files and folders."""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.audio.containers import REMARKS
from thymos.cli.console import (
    ChosenOption,
    FiguresOption,
    ModelOption,
    QuietOption,
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
    from thymos.cli.rows import DecidedRow


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
    from thymos.cli.groups import groups_of
    from thymos.cli.inputs import by_channel, by_speaker, find_recordings
    from thymos.cli.journal import Journal
    from thymos.cli.outputs import Outputs, outputs_of
    from thymos.cli.rows import rows_adapted, rows_at_once, rows_of_speakers
    from thymos.cli.shards import of_shard
    from thymos.cli.throughput import Throughput
    from thymos.cli.watching import Arrivals, WatchedOutputs, hear_arrivals
    from thymos.cli.writing import writer_of
    from thymos.files import figure_formats
    from thymos.runtime.recognizer import load
    from thymos.runtime.voice import find_voice
    from thymos.serving.remote import RemoteRecognizer

    if server is not None and (adapt or voice is not None or explain or explain_out is not None):
        raise OutputError("--server has recordings heard elsewhere: without --voice, --adapt and --explain")
    if server is not None and channels != "mix":
        raise OutputError("--server mixes channels: hear them apart without it")
    if server is not None and (vad_threshold is not None or shortest is not None):
        raise OutputError("--server hears as it is set: without --vad-threshold and --shortest")
    if watch is None and not paths:
        raise OutputError("nothing to hear is named: give files or folders, - for standard input, or --watch FOLDER")
    if watch is not None and (paths or adapt or explain or explain_out is not None):
        raise OutputError("--watch hears what arrives in its folder: without PATH, --adapt and --explain")
    if speakers is not None and (
        server is not None or watch is not None or adapt or voice is not None or explain or explain_out is not None
    ):
        raise OutputError(
            "--speakers finds voices by itself: without --server, --watch, --voice, --adapt and --explain"
        )
    formats = figure_formats(figures)
    if shard is not None and (adapt or watch is not None):
        raise OutputError("--shard hears a part of a list by itself: without --adapt and --watch")
    told = {"timeline": timeline, "labels": labels, "voice": voice, "vad": vad_threshold, "shortest": shortest}
    recordings = of_shard(find_recordings(paths or (), say), shard, told)
    recordings = by_channel(recordings, channels)
    if speakers is not None:
        recordings = by_speaker(recordings, speakers)
    if adapt and voice is not None:
        raise OutputError(
            "--adapt finds out what a voice is like, and --voice names one that is known: give one of both"
        )
    if speaker_from is not None and not adapt:
        raise OutputError("--speaker-from says whose voices --adapt takes out: give both")
    if adapt and any(recording.is_piped for recording in recordings):
        raise OutputError("--adapt compares recordings of a voice, and standard input is a single one: name files")
    arrivals = None if watch is None else Arrivals(watch)
    outputs: Outputs | WatchedOutputs
    if arrivals is None:
        outputs = outputs_of(recordings, format, out, beside, overwrite)
    else:
        outputs = WatchedOutputs(format, out, beside, overwrite)
    timeline = timeline or outputs.format in IN_TIME
    draw = None
    if explain or explain_out is not None:
        if any(recording.is_piped for recording in recordings):
            raise OutputError("--explain reads a recording twice, and standard input comes once: name a file")
        from thymos.cli.drawing import explanations_drawn

        draw = explanations_drawn(explain_out or Path(), formats)
    recognizer: Any  # a server's has what is needed here
    if server is None:
        recognizer = load(model, threads).among(chosen_labels(labels)).tuned(vad_threshold, shortest)
        decides: dict[str, Any] = {"model": recognizer.bundle.about.sha256, "timeline": timeline}
        tuned = {"vad_threshold": vad_threshold, "shortest": shortest}
        decides |= {name: value for name, value in tuned.items() if value is not None}
    else:
        recognizer = RemoteRecognizer.find(server, model).among(chosen_labels(labels))
        decides = {"model": recognizer.sha256, "timeline": timeline, "labels": recognizer.labels}
    if speakers is not None:
        hear = partial(rows_of_speakers, recognizer)
    elif server is not None:
        hear = partial(rows_at_once, recognizer)
    elif adapt:
        _ = recognizer.space  # a model without is known before anything is heard
        groups = groups_of(recordings, speaker_from)
        decides["keeps"] = "what was heard"  # labels and voices are decided on later
        hear = partial(rows_adapted, recognizer, groups=groups)
    else:
        known = None if voice is None else find_voice(voice, voices)
        recognizer = recognizer.for_voice(known)
        decides["labels"] = recognizer.labels
        if known is not None:
            decides["voice"] = known.coordinates.tolist()
        hear = partial(rows_at_once, recognizer, voice=None if known is None else known.name)
    journal = None if outputs.journal is None else Journal(outputs.journal, decides)
    if journal is not None and journal.damaged:
        say(
            f"lines of {journal.path} that were torn or changed: {journal.damaged}; what they told is heard again",
            "yellow",
        )
    columns = Columns(recognizer.labels, timeline, recognizer.dimensions, shard is not None)
    if arrivals is not None and isinstance(outputs, WatchedOutputs):
        own = partial(hear, timeline=timeline, journal=journal, advance=lambda duration_s, known: None)
        with journal or nullcontext():
            hear_arrivals(arrivals, outputs, columns, journal, lambda batch: own(by_channel(batch, channels)))
    assert isinstance(outputs, Outputs)  # the other never ends
    failures = 0
    remarks: Counter[str] = Counter()
    writer = writer_of(outputs, columns)
    with journal or nullcontext(), progress(quiet or (outputs.printed and not adapt)) as bars:
        heard = Throughput(bars, len(recordings))
        decided: Iterator[DecidedRow] = hear(recordings, timeline=timeline, journal=journal, advance=heard.take)
        for recording, row, decider, _ in decided:
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
    failures += writer.failures
    if journal is not None:
        journal.remove()
    if not quiet and not outputs.printed and len(recordings) > 1:
        say(str(heard))
    if failures:
        if len(recordings) > 1:
            say(f"{len(recordings) - failures} of {len(recordings)} recordings were heard")
        raise typer.Exit(1)
