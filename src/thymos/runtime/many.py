"""Many recordings, several at once and answered in their order; what goes wrong with one costs that one."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from thymos.audio.blocks import Array
from thymos.audio.decode import Source
from thymos.errors import ArgumentError, ThymosError, UnexpectedError
from thymos.runtime.prediction import Failure

_Result = TypeVar("_Result")
_AHEAD = 64
"""Files that may be done before one that they have to wait for."""


def heard_in_order(
    sources: Iterable[Source | Array], hear: Callable[[Source | Array], _Result], threads: int
) -> Iterator[_Result | Failure]:
    """Return what ``hear`` makes of each of ``sources``, in their order, so many at once.

    Whatever it raises becomes a ``Failure`` in its place, and the rest go on.

    Raises:
        ArgumentError: ``sources`` is a single recording or folder, of which Python would take each letter or byte.
    """
    if isinstance(sources, str | bytes | os.PathLike) or _is_array(sources) or hasattr(sources, "read"):
        kind = type(sources).__name__
        raise ArgumentError(
            f"several recordings are taken, and a {kind} is one of them: give a list, such as [recording], or of a "
            "folder sorted(pathlib.Path(folder).rglob('*.wav'))"
        )
    try:
        each = iter(sources)
    except TypeError:
        raise ArgumentError(f"several recordings are taken, and a {type(sources).__name__} is not a list") from None
    return _in_order(each, hear, threads)


def _is_array(sources: Any) -> bool:
    return isinstance(sources, tuple) and len(sources) == 2 and hasattr(sources[0], "dtype")


def _in_order(
    sources: Iterator[Source | Array], hear: Callable[[Source | Array], _Result], threads: int
) -> Iterator[_Result | Failure]:
    def heard(source: Source | Array) -> _Result | Failure:
        try:
            return hear(source)
        except ThymosError as error:
            return Failure(source, error)
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return Failure(source, UnexpectedError(f"made the recogniser fail ({said})"))

    waiting: deque[Future[_Result | Failure]] = deque()
    files = ThreadPoolExecutor(threads, "thymos-files")
    try:
        for source in sources:
            waiting.append(files.submit(heard, source))
            while waiting and (waiting[0].done() or len(waiting) > _AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        files.shutdown(wait=False, cancel_futures=True)
