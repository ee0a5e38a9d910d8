"""``thymos embed``: what recordings sound like, in numbers, with their names."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thymos.cli.console import ModelOption, QuietOption, VadOption, not_heard, progress, say
from thymos.errors import ArgumentError

if TYPE_CHECKING:
    from thymos.cli.embedded import EmbeddedRow


def embed(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files, folders (searched through), globs, or tables of files.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="Write to this file, whole or not at all: .npy (and .names.csv beside it), .parquet, .csv."),
    ],
    what: Annotated[
        Literal["embedding", "statistics"],
        typer.Option(help="The embedding; or mean and deviation over time of the encoder's states, layer by layer."),
    ] = "embedding",
    windows: Annotated[bool, typer.Option("--windows", help="Of each window with speech, not of the whole.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out names, but no recording.")] = False,
    model: ModelOption = None,
    vad_threshold: VadOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Files heard at once (default: one a core).")] = None,
    quiet: QuietOption = False,
) -> None:
    """Write embeddings of recordings, such as for a search by sound, a map, or a model of one's own.

    Rows are in the order of the files, each with its file, start and end. Files that cannot be heard, or in which
    nobody speaks, are named and left out, and the exit code is then 1.
    """
    from thymos.cli.embedded import checked_files, write_embeddings
    from thymos.cli.inputs import find_recordings
    from thymos.cli.outputs import check_outputs
    from thymos.cli.throughput import Throughput
    from thymos.runtime.prediction import Failure
    from thymos.runtime.recognizer import load

    recordings = find_recordings(paths, say)
    if any(recording.is_piped for recording in recordings):
        raise ArgumentError("embeddings are kept by the names of files, and standard input has none: name files")
    check_outputs(checked_files(out), [each.path for each in recordings if each.path is not None], overwrite)
    recognizer = load(model, threads).tuned(vad_threshold)
    rows: list[EmbeddedRow] = []
    failures = 0
    results = recognizer.embed_many(
        (each.source for each in recordings if each.problem is None and each.source is not None), what, windows
    )
    with progress(quiet) as bars:
        heard = Throughput(bars, len(recordings))
        for recording in recordings:
            told = Failure(recording.name, recording.problem) if recording.problem is not None else next(results)
            if isinstance(told, Failure):
                failures += 1
                not_heard(recording.name, told.reason)
                heard.take(None)
                continue
            heard.take(float(told.end_s[-1]))
            rows += [
                (recording.name, float(start_s), float(end_s), values)
                for start_s, end_s, values in zip(told.start_s, told.end_s, told.values, strict=True)
            ]
    write_embeddings(out, rows)
    if not quiet and len(recordings) > 1:
        say(str(heard))
    if failures:
        if len(recordings) > 1:
            say(f"{len(recordings) - failures} of {len(recordings)} recordings were heard")
        raise typer.Exit(1)
