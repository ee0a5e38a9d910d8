"""Recordings heard by an engine's workers, each with a model of its own, to the same answers as one process gives.

Files travel to workers by name, in batches of about as many bytes, and their answers come back a batch at a time: what
a killed worker had not handed back is heard again, and nothing else. A recording that would keep one worker busy while
the others have nothing to do is shared out among several of them, in turns (``runtime.listening.Share``).
"""

import os
import pickle
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from thymos.audio.blocks import Sound
from thymos.audio.elsewhere import RemoteFile
from thymos.audio.excerpt import Excerpt
from thymos.engine.tasks import Engine, Report, Shared, in_use
from thymos.errors import AudioAbsentError, BundleError, EngineError, UnexpectedError
from thymos.runtime.listening import Recording, Share, joined
from thymos.runtime.many import heard_in_order
from thymos.runtime.prediction import Failure, Prediction, describe
from thymos.runtime.recognizer import Recognizer

MOST_FILES, LEAST_BYTES, MOST_BYTES = 16, 256 << 10, 4 << 20
"""Of a batch: seconds of work, whatever the format, so that little is lost with a worker, and little spent on tasks."""
_BATCHES_A_WORKER = 16
LEAST_SHARED_BYTES = 4 << 20
"""A smaller recording is not shared out: each of its listeners has to decode all of it."""
MOST_SHARES = 8
Result = Prediction | Recording | Failure
Finished = Callable[[int, Any], None]


class SpreadRecognizer(Recognizer):
    """A recogniser whose many recordings are heard by the workers of an engine; single ones are heard here."""

    def __init__(self, recognizer: Recognizer, engine: Engine | str, workers: int | None):
        """Take a recogniser that is set to what it is to hear, and an engine, or its name, and how many hear."""
        self.__dict__.update(recognizer.__dict__)
        self._engine, self._workers = engine, workers

    def predict_many(
        self,
        sources: Iterable[Sound],
        timeline: bool = False,
        labels: Sequence[str] | None = None,
        finished: Finished | None = None,
    ) -> Iterator[Prediction | Failure]:
        """Yield what is heard in each of ``sources``, in their order; see ``Recognizer.predict_many``.

        Raises:
            EngineError, RunError: as ``Engine.run``; or a worker's machine lacks the model or the files.
        """
        told = self.among(labels)._spread(sources, timeline, False, finished)
        return cast("Iterator[Prediction | Failure]", told)

    def listen_many(
        self, sources: Iterable[Sound], windows: bool = False, finished: Finished | None = None
    ) -> Iterator[Recording | Failure]:
        """Yield what is kept of each of ``sources``; see ``Recognizer.listen_many`` and ``predict_many``."""
        return cast("Iterator[Recording | Failure]", self._spread(sources, windows, True, finished))

    def _spread(
        self, sources: Iterable[Sound], windows: bool, kept: bool, finished: Finished | None
    ) -> Iterator[Result]:
        each = [_absolute(source) for source in sources]
        if not each:
            return
        with in_use(self._engine, self._workers) as engine:
            hearer = engine.share(pickle.dumps(_Hearer(self._alone(), windows, kept)))
            results = _Results(self, each, windows, kept, engine.many_machines)
            batches = packed(each, self._workers or engine.capacity(), hearer)
            while batches:
                alone: list[_Batch] = []
                for batch, heard in engine.run(hear_batch, batches, self._workers, on_death=_nothing_heard):
                    if heard.node is not None:
                        told = results.taken(batch, heard)
                    elif len(batch.items) > 1:  # whichever of them it was, the others are heard
                        alone += [_Batch(hearer, (item,)) for item in batch.items]
                        continue
                    else:
                        told = results.fallen(batch)
                    for place, result in told:
                        if finished is not None:
                            finished(place, result)
                    yield from results.in_order()
                batches = alone

    def _alone(self) -> Recognizer:
        """Return this recogniser as one that hears one recording at a time, and knows of no engine."""
        plain: Recognizer = Recognizer.__new__(Recognizer)
        plain.__dict__.update(self.__dict__)
        for own in ("_engine", "_workers"):
            del plain.__dict__[own]
        plain.threads = 1
        plain._listener = copy(self._listener)
        plain._listener.threads = 1
        return plain


@dataclass(frozen=True)
class _Hearer:
    """What each worker hears by.

    Attributes:
        recognizer: of one thread.
        windows: whether a timeline is wanted.
        kept: whether all that was heard is, for voices to be taken out of it, or what is decided alone.
    """

    recognizer: Recognizer
    windows: bool
    kept: bool

    def hear(self, source: Sound, share: Share | None) -> Prediction | Recording:
        """Return what is heard in ``source``, or in a share of it."""
        if share is not None:
            return self.recognizer.listen_share(source, share, self.windows)
        if self.kept:
            return self.recognizer.listen_share(source, Share(0, 1), self.windows)
        return self.recognizer.predict(source, self.windows)


@dataclass(frozen=True)
class _Batch:
    """A task: recordings by their places, all of each or a share of it."""

    hearer: Shared[bytes]
    items: tuple[tuple[int, Sound], ...]
    share: Share | None = None


@dataclass(frozen=True)
class _Heard:
    """What comes back of a batch, and from which machine; None: nothing, since its workers were killed."""

    node: str | None
    results: tuple[tuple[int, Result], ...]


def hear_batch(batch: _Batch, report: Report) -> _Heard:
    """Hear a batch, in whatever process this is; what is wrong with a file is its own failure.

    Raises:
        BundleError: this machine does not have the model.
    """
    try:
        hearer = _hearer(batch.hearer.get())
    except BundleError as error:
        raise BundleError(f"on the machine {platform.node()}: {error}") from None
    heard = heard_in_order(
        (source for _, source in batch.items), lambda source: hearer.hear(source, batch.share), threads=1
    )
    return _Heard(
        platform.node(), tuple((place, result) for (place, _), result in zip(batch.items, heard, strict=True))
    )


def _nothing_heard(batch: _Batch) -> _Heard:
    return _Heard(None, ())


@lru_cache(maxsize=1)
def _hearer(told: bytes) -> _Hearer:
    hearer: _Hearer = pickle.loads(told)
    return hearer


class _Results:
    """What has come back, put in order."""

    def __init__(
        self, recognizer: Recognizer, sources: Sequence[Sound], windows: bool, kept: bool, many_machines: bool
    ):
        self._recognizer, self._sources, self._windows, self._kept = recognizer, sources, windows, kept
        self._many_machines = many_machines
        self._done: set[int] = set()
        self._ready: dict[int, Result] = {}
        self._shares: dict[int, dict[int, Recording]] = {}
        self._next = 0

    def taken(self, batch: _Batch, heard: _Heard) -> Iterator[tuple[int, Result]]:
        """Yield each recording of ``batch`` of which all is known now, once."""
        for place, result in heard.results:
            whole: Result | None = result
            if isinstance(result, Failure):
                self._check_is_everywhere(place, result, heard.node or "")
            elif batch.share is not None and isinstance(result, Recording):
                whole = self._joined(place, result, batch.share)
            if whole is not None and place not in self._done:
                yield self._noted(place, whole)

    def fallen(self, batch: _Batch) -> Iterator[tuple[int, Failure]]:
        """Yield the recording of ``batch``, which cost the workers that heard it."""
        ((place, source),) = batch.items
        if place not in self._done:
            error = UnexpectedError("ended the process that heard it, twice, perhaps for want of memory")
            yield self._noted(place, Failure(source, error))

    def in_order(self) -> Iterator[Result]:
        """Yield what is known of the next recordings in order."""
        while self._next in self._ready:
            yield self._ready.pop(self._next)
            self._next += 1

    def _noted(self, place: int, result: Any) -> tuple[int, Any]:
        self._done.add(place)
        self._ready[place] = result
        self._shares.pop(place, None)
        return place, result

    def _joined(self, place: int, part: Recording, share: Share) -> Result | None:
        if place in self._done:
            return None
        shares = self._shares.setdefault(place, {})
        shares[share.number] = part
        if len(shares) < share.listeners:
            return None
        whole = joined([shares[number] for number in range(share.listeners)])
        return whole if self._kept else self._recognizer.decide(whole, self._windows)

    def _check_is_everywhere(self, place: int, failure: Failure, node: str) -> None:
        """Check that a file which is here was found there, too.

        Raises:
            EngineError: it was not, and so none of them would be.
        """
        path = _path_of(self._sources[place])
        absent = isinstance(failure.error, AudioAbsentError)
        if self._many_machines and absent and path is not None and Path(path).exists():
            raise EngineError(
                f"{describe(path)} is not on the machine {node}: all machines of a cluster must see the files, on a "
                "disk that they share or by addresses"
            )


def packed(sources: Sequence[Sound], workers: int, hearer: Shared[bytes]) -> list[_Batch]:
    """Return ``sources`` as tasks for so many workers: batches in their order, then those that are shared out, of which
    each worker has an equal part at the end."""
    sizes = [_size_of(source) for source in sources]
    total = sum(sizes)
    most_bytes = min(MOST_BYTES, max(LEAST_BYTES, total // (workers * _BATCHES_A_WORKER)))
    shared: list[_Batch] = []
    batches: list[_Batch] = []
    items: list[tuple[int, Sound]] = []
    n_bytes = 0
    for place, (source, size) in enumerate(zip(sources, sizes, strict=True)):
        # What is less than a quarter of a worker's own part finds its worker in time.
        if workers > 1 and size >= LEAST_SHARED_BYTES and 4 * workers * size > total and _is_file(source):
            listeners = min(workers, MOST_SHARES)
            shared += [_Batch(hearer, ((place, source),), Share(number, listeners)) for number in range(listeners)]
            continue
        if items and (len(items) == MOST_FILES or n_bytes + size > most_bytes):
            batches.append(_Batch(hearer, tuple(items)))
            items, n_bytes = [], 0
        items.append((place, source))
        n_bytes += size
    return batches + ([_Batch(hearer, tuple(items))] if items else []) + shared


def _is_file(source: Sound) -> bool:
    return isinstance(source, str | Path | RemoteFile)


def _path_of(source: Sound) -> str | None:
    file = source.path if isinstance(source, Excerpt) else source
    return os.fspath(file) if isinstance(file, str | Path) else None


def _size_of(source: Sound) -> int:
    file = source.path if isinstance(source, Excerpt) else source
    if isinstance(file, RemoteFile):
        return file.n_bytes or 0
    if isinstance(file, bytes):
        return len(file)
    try:
        return os.stat(file).st_size if isinstance(file, str | Path) else 0  # noqa: PTH116 - of as many as there are
    except (OSError, ValueError):
        return 0


def _absolute(source: Sound) -> Sound:
    """Return ``source`` by a name that a worker, which may be in another folder, finds; as text, which takes less."""
    if isinstance(source, str | Path):
        return os.path.abspath(source)  # noqa: PTH100 - a link stays what it is called
    if isinstance(source, Excerpt) and isinstance(source.path, Path):
        return replace(source, path=source.path.absolute())
    return source
