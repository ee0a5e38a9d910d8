"""``thymos embed``: what recordings sound like, in numbers, with their names.

It is written as an array with a table of names beside it, or as one table of both.
"""

import csv
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from thymos.cli.console import ModelOption, QuietOption, Throughput, VadOption, not_heard, progress, say
from thymos.errors import ArgumentError, MissingExtraError
from thymos.escaping import csv_cell
from thymos.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EmbeddedRow: TypeAlias = "tuple[str, float, float, NDArray[np.float32]]"
"""File, start and end in seconds, and the embedding, shape ``(E,)``."""
_INDEX = ("file", "start_s", "end_s")


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
    from thymos.cli.inputs import find_recordings
    from thymos.cli.outputs import check_outputs
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


def checked_files(out: Path) -> list[Path]:
    """Return the files that are written where ``--out`` says ``out``.

    Raises:
        ArgumentError: its suffix is none that embeddings are written in.
        MissingExtraError: what writes it is not installed.
    """
    suffix = out.suffix.lower()
    if suffix == ".npy":
        return [out, names_beside_array(out)]
    if suffix == ".parquet":
        _arrow()
    elif suffix != ".csv":
        raise ArgumentError(f"--out {out} ends in none of .npy, .parquet, .csv, by which embeddings are written")
    return [out]


def names_beside_array(out: Path) -> Path:
    """Return the table of names of the rows of the array ``out``."""
    return out.with_name(out.stem + ".names.csv")


def write_embeddings(out: Path, rows: Sequence[EmbeddedRow]) -> None:
    """Write ``rows`` as the suffix of ``out`` says; each file is whole or not there."""
    import numpy as np

    values = np.stack([row[3] for row in rows]) if rows else np.zeros((0, 0), np.float32)
    suffix = out.suffix.lower()
    if suffix == ".npy":
        write_bytes(names_beside_array(out), _csv(rows, values[:, :0]))
        content = io.BytesIO()
        np.save(content, values)
        write_bytes(out, content.getvalue())
    elif suffix == ".csv":
        write_bytes(out, _csv(rows, values))
    else:
        arrow, parquet = _arrow(), importlib.import_module("pyarrow.parquet")
        columns: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(_INDEX)}
        columns["file"] = arrow.array(columns["file"], arrow.string())
        columns |= {f"e{number}": values[:, number] for number in range(values.shape[1])}
        buffer = io.BytesIO()
        parquet.write_table(arrow.table(columns), buffer)
        write_bytes(out, buffer.getvalue())


def _csv(rows: Sequence[EmbeddedRow], values: "NDArray[np.float32]") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_INDEX, *(f"e{number}" for number in range(values.shape[1]))])
    for (file, start_s, end_s, _), own in zip(rows, values, strict=True):
        # As short as a float32 can be told without loss.
        writer.writerow([csv_cell(file), round(start_s, 3), round(end_s, 3), *map(str, own)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _arrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("Parquet needs the library pyarrow: pip install 'thymos[tables]'") from None
