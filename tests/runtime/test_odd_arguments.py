"""What people hand over by mistake: one sentence, of an error that Python's users expect, which names the file."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thymos
from thymos.errors import AbsentError, ArgumentError, AudioError, BundleError, ThymosError
from thymos.runtime.prediction import Failure
from thymos.runtime.recognizer import Recognizer, load

TONE = np.zeros(16_000, np.float32)


def closed_file(path: Path) -> io.BufferedReader:
    file = path.open("rb")
    file.close()
    return file


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise RuntimeError("the device\nis gone")


@pytest.mark.parametrize("rate", [None, float("nan"), float("inf"), "16000", True, 0, -1, 10**400, 16_000.5, [16_000]])
def test_rates_that_are_none(recognizer: Recognizer, rate: Any) -> None:
    for call in (lambda: recognizer.predict((TONE, rate)), lambda: recognizer.stream(rate)):
        with pytest.raises(AudioError, match="sampling rate") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("samples", [b"\0\0", [0.0, 0.1], None, "abc", 1.0, np.array(["a"]), np.zeros((2, 2, 2))])
def test_what_a_stream_is_fed(recognizer: Recognizer, samples: Any) -> None:
    with recognizer.stream(16_000) as stream, pytest.raises(AudioError, match="what the stream is fed is"):
        stream.feed(samples)


@pytest.mark.parametrize("labels", ["anger", b"anger", 3, [1, 2], [None, "anger"], [["anger"], ["fear"]]])
def test_labels_that_are_no_words(recognizer: Recognizer, labels: Any) -> None:
    with pytest.raises(ValueError, match="labels are a list of words"):
        recognizer.predict((TONE, 16_000), labels=labels)


@pytest.mark.filterwarnings("error")
def test_arrays_that_hold_no_samples_are_refused_in_a_sentence(recognizer: Recognizer) -> None:
    with pytest.raises(AudioError, match="is a masked array; fill what is masked"):
        recognizer.predict((np.ma.masked_array(TONE, TONE > 0), 16_000))
    with pytest.raises(AudioError, match="holds samples that are NaN or infinite"):
        recognizer.predict((np.full(16_000, 1e300), 16_000))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads(bundle: Path, threads: Any) -> None:
    with pytest.raises(ArgumentError, match="threads must be a whole number"):
        load(bundle, threads)


def test_files_that_are_closed_or_broken(recognizer: Recognizer, spoken: list[Path]) -> None:
    with pytest.raises(AudioError, match="closed"):
        recognizer.predict(closed_file(spoken[0]))
    with pytest.raises(AudioError, match="RuntimeError: the device is gone"):
        recognizer.predict(Broken(b"RIFF"))


def test_errors_are_those_that_python_has_and_name_the_file(recognizer: Recognizer, tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent.wav", tmp_path / "empty\x1b.wav"
    empty.touch()
    with pytest.raises(FileNotFoundError) as missing:
        recognizer.predict(absent)
    assert str(missing.value) == f"{absent} does not exist" and isinstance(missing.value, ThymosError)
    with pytest.raises(ValueError, match=r"empty.x1b\.wav is empty"):
        recognizer.embed(empty)
    with pytest.raises(OSError, match="is a directory"):
        recognizer.timeline(tmp_path)
    with pytest.raises(AbsentError, match="is no folder"):
        thymos.load(tmp_path / "absent")
    with pytest.raises(BundleError, match="is empty"):
        thymos.load("")
    with pytest.raises(FileNotFoundError, match="empty name"):
        recognizer.predict("")
    with pytest.raises(ImportError):
        raise thymos.MissingExtraError("x")


@pytest.mark.parametrize("sources", ["folder", b"RIFF", Path("folder"), (TONE, 16_000), 3, None, io.BytesIO()])
def test_one_recording_where_several_are_taken_is_said_at_once(recognizer: Recognizer, sources: Any) -> None:
    for many in (recognizer.predict_many, recognizer.listen_many):
        with pytest.raises(ArgumentError, match="several recordings are taken"):
            many(sources)


def test_whatever_goes_wrong_with_one_costs_one(recognizer: Recognizer, spoken: list[Path], monkeypatch: Any) -> None:
    listen = recognizer._listener.listen

    def odd(source: Any, *how: Any) -> Any:
        if source == "odd":
            raise ZeroDivisionError("a fault\nof ours")
        return listen(source, *how)

    monkeypatch.setattr(recognizer._listener, "listen", odd)
    first, second, third = recognizer.predict_many(["odd", spoken[0], Broken(b"x")])
    assert isinstance(first, Failure) and "ZeroDivisionError: a fault of ours" in str(first)
    assert not isinstance(second, Failure) and isinstance(third, Failure)


def test_a_file_that_changes_while_it_is_read_is_named(
    recognizer: Recognizer, tmp_path: Path, write_sound: Any
) -> None:
    from thymos.audio.decode import open_sound

    path = write_sound(tmp_path / "a.wav", np.zeros(200_000, np.float32))
    with open_sound(path) as sound:
        next(sound.blocks)
        path.write_bytes(b"another")
        with pytest.raises(AudioError, match="changed while it was read"):
            list(sound.blocks)
