"""Many recordings, several at once and answered in their order; what goes wrong with one costs that one."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from thymos.audio.blocks import Sound, channels_of
from thymos.audio.mixing import Channel
from thymos.errors import ArgumentError, AudioError, ThymosError, UnexpectedError
from thymos.runtime.prediction import Failure, describe

_Result = TypeVar("_Result")
_AHEAD = 64
"""Files that may be done before one that they have to wait for."""


def heard_in_order(
    sources: Iterable[Sound],
    hear: Callable[[Sound], _Result],
    threads: int,
    finished: Callable[[int, Any], None] | None = None,
) -> Iterator[_Result | Failure]:
    """Return what ``hear`` makes of each of ``sources``, in their order, so many at once.

    Whatever it raises becomes a ``Failure`` in its place, and the rest go on. ``finished`` is told the place of each,
    from 0, and what was made of it, as soon as that is known, which may be long before its turn: from any thread.

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
    return _in_order(each, hear, threads, finished)


def _is_array(sources: Any) -> bool:
    return isinstance(sources, tuple) and len(sources) == 2 and hasattr(sources[0], "dtype")


def _in_order(
    sources: Iterator[Sound],
    hear: Callable[[Sound], _Result],
    threads: int,
    finished: Callable[[int, Any], None] | None,
) -> Iterator[_Result | Failure]:
    def told(place: int, source: Sound) -> _Result | Failure:
        result = heard(source)
        if finished is not None:
            finished(place, result)
        return result

    def heard(source: Sound) -> _Result | Failure:
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
        for place, source in enumerate(sources):
            waiting.append(files.submit(told, place, source))
            while waiting and (waiting[0].done() or len(waiting) > _AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        files.shutdown(wait=False, cancel_futures=True)


def each_channel(source: Sound, hear: Callable[[Sound, int], _Result]) -> list[_Result]:
    """Return what ``hear`` makes of each channel of ``source``, which it is given with the channel's number, from 1.

    Raises:
        AudioError: as ``hear``, or ``source`` cannot be opened.
    """
    if not isinstance(source, tuple) and hasattr(source, "read"):  # which is read several times
        source = bytes(source.read())
    return [hear(source, number) for number in range(1, channels_of(source) + 1)]


def checked_channel(channel: Any) -> Channel:
    """Return which channel is asked for.

    Raises:
        ArgumentError: it is neither ``mix`` nor a number from 1.
    """
    if channel == "mix" or (isinstance(channel, int) and not isinstance(channel, bool) and channel >= 1):
        chosen: Channel = channel
        return chosen
    raise ArgumentError(f"channels are mix, split, or the number of one from 1, not {channel!r}")


@contextmanager
def named(source: Sound) -> Iterator[None]:
    """Name ``source`` in an error of the block."""
    try:
        yield
    except AudioError as error:
        raise error.of(describe(source)) from None
