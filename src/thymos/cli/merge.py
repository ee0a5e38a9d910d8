"""``thymos merge``: results of the shards of one list become one file, the same as if it had been heard at once."""

from pathlib import Path
from typing import Annotated

import typer

from thymos.errors import ArgumentError


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="PART…", help="Results of `predict --shard i/n`, all n; or a folder of parts."),
    ],
    out: Annotated[Path, typer.Option(help="Write to this file, whole or not at all.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out names, but no part.")] = False,
) -> None:
    """Join results of shards: what one run over the whole list would have written, to the last byte.

    All parts are of one format: JSON lines, JSON, CSV, TSV or Parquet. If a shard is missing, or there twice, nothing
    is written.
    """
    from thymos.cli.outputs import check_outputs, format_of
    from thymos.cli.parts import merged_into
    from thymos.cli.shards import MERGED

    parts = [each for part in parts for each in (sorted(part.glob("part-*")) if part.is_dir() else [part])]
    if not parts:
        raise ArgumentError("there are no parts in that folder")
    again = next((part for place, part in enumerate(parts) if part in parts[:place]), None)
    if again is not None:
        raise ArgumentError(f"{again} is named twice among the parts")
    formats = {format_of(None, part) for part in parts}
    if len(formats) > 1 or not formats <= {*MERGED}:
        raise ArgumentError(f"parts are files of one format by their names ({', '.join(MERGED)})")
    (format,) = formats
    if format_of(None, out) != format:
        raise ArgumentError(f"parts are {format}, and --out {out} is not by its name: joining changes no format")
    if any(out.exists() and part.exists() and out.samefile(part) for part in parts):
        raise ArgumentError(f"--out {out} is one of the parts")
    check_outputs([out], (), overwrite)
    merged_into(out, parts, format)
