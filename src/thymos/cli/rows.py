"""What is heard in recordings, as rows: each at once, or all of them once voices are taken out of what was heard."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from thymos.audio.decode import decoder_faults
from thymos.audio.elsewhere import RemoteFile
from thymos.audio.excerpt import Excerpt, excerpt_name
from thymos.cli.console import say
from thymos.cli.inputs import NamedRecording
from thymos.cli.journal import Journal, key_of
from thymos.errors import AudioError, ThymosError, UnexpectedError
from thymos.runtime.adaptation import Offset
from thymos.runtime.formats import SHARD, ResultRow, result_row
from thymos.runtime.listening import Recording
from thymos.runtime.prediction import Failure, Prediction
from thymos.runtime.recognizer import Recognizer
from thymos.streams import StreamError, standard_input

_MOST_STANDARD_INPUT = 1 << 30
_Heard = Prediction | Recording | Failure
_Entry = dict[str, Any]
Advance = Callable[[float | None, bool], None]
"""Told of each recording: how long it is (None: it could not be heard), and whether that was known already."""


class DecidedRow(NamedTuple):
    """A recording, what is said of it, the recogniser that said it, which knows the voice, and whether it was known."""

    recording: NamedRecording
    row: ResultRow
    recognizer: Recognizer
    known: bool = False


def rows_at_once(
    recognizer: Recognizer,
    recordings: Sequence[NamedRecording],
    timeline: bool,
    journal: Journal | None,
    advance: Advance,
    voice: str | None = None,
) -> Iterator[DecidedRow]:
    """Yield the row of each recording, in order and as soon as it is known; ``voice`` is the name of the one known."""
    hear = partial(recognizer.predict_many, timeline=timeline)
    for recording, entry, known in _entries(recordings, journal, hear):
        advance(_duration_s(entry), known)
        yield DecidedRow(recording, _row(recording, entry, voice), recognizer, known)


def rows_adapted(
    recognizer: Recognizer,
    recordings: Sequence[NamedRecording],
    groups: Sequence[str],
    timeline: bool,
    journal: Journal | None,
    advance: Advance,
) -> Iterator[DecidedRow]:
    """Yield the row of each recording, in order, once all are heard; the journal keeps what was heard.

    ``groups`` are the voices, rooms or lines, of each recording.
    """
    heard: list[Recording | Failure] = []
    for recording, entry, known in _entries(recordings, journal, partial(recognizer.listen_many, windows=timeline)):
        heard.append(Recording.from_dict(entry) if isinstance(entry, dict) else Failure(recording.name, entry))
        advance(_duration_s(entry), known)
    offsets = recognizer.offsets(heard, groups)
    _say_voices(offsets)
    voices = {name: recognizer.for_voice(offset) for name, offset in offsets.items()}
    for recording, sound, group in zip(recordings, heard, groups, strict=True):
        own = voices.get(group, recognizer)
        said = sound.error if isinstance(sound, Failure) else own.decide(sound, timeline).to_dict()
        yield DecidedRow(recording, _row(recording, said, group), own)


def rows_of_speakers(
    recognizer: Recognizer,
    recordings: Sequence[NamedRecording],
    timeline: bool,
    journal: Journal | None,
    advance: Advance,
    hear: Callable[..., Sequence[Any]],
) -> Iterator[DecidedRow]:
    """Yield the row of each voice of each recording, in order; nothing is kept in the journal.

    ``hear`` finds the voices, as ``runtime.speakers.predict_speakers`` does.
    """
    heard: Sequence[Any] | AudioError = []
    for recording in recordings:
        if recording.problem is not None:
            heard = recording.problem
        elif recording.speaker == 1:
            assert recording.source is not None
            try:
                with decoder_faults():
                    heard = hear(recognizer, recording.source, timeline)
            except AudioError as error:
                heard = error
        said: _Entry | ThymosError
        said = heard if isinstance(heard, AudioError) else heard[recording.speaker - 1].to_dict()
        advance(_duration_s(said), False)
        yield DecidedRow(recording, _row(recording, said, None) | {"speaker": recording.speaker}, recognizer)


def heard_in(recognizer: Recognizer, recordings: Sequence[NamedRecording]) -> Iterator[Recording | Failure]:
    """Yield what is kept of each recording, for what is known of a voice; one in which nobody speaks is a failure."""
    for recording, entry, _ in _entries(recordings, None, recognizer.listen_many):
        if not isinstance(entry, dict):
            yield Failure(recording.name, entry)
            continue
        heard = Recording.from_dict(entry)
        yield heard if heard.impressions else Failure(recording.name, AudioError("holds no speech"))


def _entries(
    recordings: Sequence[NamedRecording], journal: Journal | None, hear: Callable[..., Iterator[_Heard]]
) -> Iterator[tuple[NamedRecording, _Entry | ThymosError, bool]]:
    """Yield each recording with what there is to keep of it, in order; what the journal knows is not heard again.

    The journal keeps each as soon as it is heard, before its turn, too. The third says whether it was known.
    """
    keys = [_key(recording) for recording in recordings]

    def known(key: str | None) -> _Entry | None:
        return journal.known(key) if journal is not None and key is not None else None

    problems = [recording.problem for recording in recordings]
    sources: list[Path | RemoteFile | Excerpt | bytes | None] = [recording.source for recording in recordings]
    for i, recording in enumerate(recordings):
        if recording.is_piped:
            piped = _from_standard_input()
            if isinstance(piped, bytes):
                sources[i] = piped if recording.channel == "mix" else Excerpt(piped, channel=recording.channel)
            else:
                problems[i] = piped
    done = [known(key) is not None for key in keys]
    left = [i for i in range(len(recordings)) if not done[i] and problems[i] is None]

    def keep(place: int, result: _Heard) -> None:
        key, entry = keys[left[place]], _to_keep(result)
        if journal is not None and key is not None and entry is not None:
            journal.add(key, entry)

    results = hear((sources[i] for i in left), finished=keep)
    for recording, key, problem, heard in zip(recordings, keys, problems, done, strict=True):
        if heard and (kept := known(key)) is not None:
            yield recording, _kept_entry(kept), True
        elif problem is not None:
            yield recording, problem, False
        else:
            result = next(results)
            yield recording, result.error if isinstance(result, Failure) else result.to_dict(), False


_FAILED = "failed"
"""In a journal, what is wrong with a recording."""


def _kept_entry(entry: _Entry) -> _Entry | AudioError:
    return AudioError(entry[_FAILED]) if _FAILED in entry else entry


def _to_keep(result: _Heard) -> _Entry | None:
    """Return what a journal keeps; nothing of a failure that is the machine's, such as a library that is missing."""
    if not isinstance(result, Failure):
        return result.to_dict()
    error = result.error
    is_the_files = isinstance(error, AudioError) and not isinstance(error, OSError | ImportError | UnexpectedError)
    return {_FAILED: result.reason} if is_the_files else None


def _duration_s(entry: _Entry | ThymosError) -> float | None:
    return entry["duration_s"] if isinstance(entry, dict) else None


def _row(recording: NamedRecording, said: _Entry | ThymosError, voice: str | None) -> ResultRow:
    row = result_row(recording.name, said, voice)
    row |= {} if recording.channel == "mix" else {"channel": recording.channel}
    return row | ({SHARD: recording.shard} if recording.shard else {})


def _key(recording: NamedRecording) -> str | None:
    """Return what identifies a recording: its file as it is now, and which part of that it is."""
    key = None if recording.path is None else key_of(recording.path)
    if recording.remote is not None and recording.remote.version:
        key = f"{recording.remote} {recording.remote.version}"
    return None if key is None else excerpt_name(key, recording.start_s, recording.end_s, recording.channel)


def _say_voices(offsets: dict[str, Offset]) -> None:
    """Say how much was heard of each voice, and what speaks against relying on it: once for all that share it."""
    if not offsets:
        return
    say("voices: " + ", ".join(f"{name} ({offset.clips} clips)" for name, offset in offsets.items()))
    doubted: dict[str, list[str]] = {}
    for name, offset in offsets.items():
        for doubt in offset.doubts:
            doubted.setdefault(doubt, []).append(name)
    for doubt, names in doubted.items():
        say(f"{', '.join(names)}: {doubt}")


def _from_standard_input() -> bytes | AudioError:
    """Return the file that comes in on standard input, or why there is none."""
    content = bytearray()
    try:
        for part in standard_input():
            content += part
            if len(content) > _MOST_STANDARD_INPUT:
                return AudioError(f"is larger than {_MOST_STANDARD_INPUT >> 20} MiB: write it to a file")
    except StreamError as error:
        return AudioError(f"cannot be read: {error}")
    return bytes(content)
