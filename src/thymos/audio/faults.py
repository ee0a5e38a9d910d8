"""What goes wrong in a decoder, or under it, costs one recording: whatever is raised becomes an ``AudioError``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thymos.audio.source import Samples, Source
from thymos.errors import AudioError, AudioFileError, ThymosError

State = tuple[int, int, int] | None


@contextmanager
def decoder_faults() -> Iterator[None]:
    """Turn what a decoder, or a file that it reads, raises inside the block into an ``AudioError`` of one sentence."""
    try:
        yield
    except ThymosError:
        raise
    except MemoryError:
        raise AudioError("takes more memory to decode than there is") from None
    except OSError as error:
        raise AudioFileError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise AudioError(f"made its decoder fail ({said})") from error


def guarded(blocks: Iterator[Samples], source: Source, before: State) -> Iterator[Samples]:
    """Yield ``blocks``; in the end, find that ``source`` is as it was ``before``.

    Raises:
        AudioError: the decoder failed, or somebody has written into the file: what was heard is of no one recording.
    """
    while True:
        with decoder_faults():
            block = next(blocks, None)
        if block is None:
            break
        yield block
    after = state_of(source)
    if before is not None and after is not None and before != after:
        raise AudioFileError("was changed while it was read; hear it again once it is whole")


def state_of(source: Source) -> State:
    """Return what changes when somebody writes into the file at a path; None of anything else, or where it is gone."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        status = Path(source).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
