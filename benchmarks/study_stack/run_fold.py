"""Train and score the study's Model3 with the study's own tools: librosa features and Keras on a CPU.

    python run_fold.py JOB.json

The job names the corpus, the seed and, for each fold, its train and test clips relative to the corpus:
``{"corpus": DIR, "seed": 0, "folds": [{"fold": 0, "train": [...], "test": [...]}]}``. The folds run one after
another in this process, each from its audio files to its scores, and one line of JSON comes out. Nothing is
kept from one fold to the next, because the study computed its features anew for every fold.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

START = time.perf_counter()  # before the heavy imports, which are part of what a user waits for
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it once, while it is imported

import audioread  # noqa: E402
import keras  # noqa: E402
import librosa  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness")
SAMPLE_RATE = 44_100
SEGMENT_SECONDS = 3
LONGEST_SECONDS = 12.0
FFT_SIZE, HOP, MEL_BANDS = 2048, 1024, 128
BATCH_SIZE, EPOCHS, LEARNING_RATE, DROPOUT = 64, 20, 1e-3, 0.5

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class JobError(Exception):
    """Something is wrong with the job or its files; the message says what."""


@dataclass(frozen=True)
class Split:
    """One side of a fold: spectrograms, their labels and the recording each was cut from."""

    spectrograms: Floats
    labels: Integers
    recordings: Integers
    dropped: list[str]

    @property
    def clips(self) -> int:
        return len(np.unique(self.recordings))


def read_recording(path: Path) -> Floats | None:
    """The peak-normalised signal, or None for a file that cannot be read or is too long to use."""
    try:
        signal, rate = librosa.load(path, sr=None)
    except (OSError, EOFError, RuntimeError, audioread.DecodeError):
        return None
    if rate != SAMPLE_RATE:
        raise JobError(f"{path.name} has {rate} samples a second; the study's method needs {SAMPLE_RATE}.")
    if len(signal) == 0 or len(signal) > LONGEST_SECONDS * rate:
        return None
    return librosa.util.normalize(signal)


def cut_segments(signal: Floats) -> list[Floats]:
    """As many three-second pieces as cover the signal, evenly spread, first and last flush with its ends."""
    length = SEGMENT_SECONDS * SAMPLE_RATE
    if len(signal) <= length:
        return [librosa.util.fix_length(signal, size=length)]
    count = math.ceil(len(signal) / length)
    starts = np.linspace(0, len(signal) - length, count).round().astype(int)
    return [signal[start : start + length] for start in starts]


def mel_spectrogram(segment: Floats) -> Floats:
    power = librosa.feature.melspectrogram(y=segment, sr=SAMPLE_RATE, n_fft=FFT_SIZE, hop_length=HOP, n_mels=MEL_BANDS)
    return librosa.power_to_db(power, ref=1.0)


def prepare(corpus: Path, clips: list[str]) -> Split:
    """Read the clips one by one and turn every segment into a spectrogram, as the study's notebook did."""
    spectrograms: list[Floats] = []
    labels: list[int] = []
    recordings: list[int] = []
    dropped: list[str] = []
    for number, clip in enumerate(clips):
        signal = read_recording(corpus / clip)
        if signal is None:
            dropped.append(clip)
            continue
        segments = cut_segments(signal)
        spectrograms += [mel_spectrogram(segment) for segment in segments]
        labels += [emotion_of(clip)] * len(segments)
        recordings += [number] * len(segments)
    if not spectrograms:
        raise JobError("A fold has no readable clip on one of its sides.")
    stacked = np.stack(spectrograms)[..., np.newaxis]
    return Split(stacked, np.array(labels), np.array(recordings), dropped)


def emotion_of(clip: str) -> int:
    emotion = Path(clip).parent.name
    if emotion not in EMOTIONS:
        raise JobError(f"{clip} does not lie in a folder named after one of {', '.join(EMOTIONS)}.")
    return EMOTIONS.index(emotion)


def build_model3(input_shape: tuple[int, ...]) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential([layers.Input(shape=input_shape)])
    for filters in (16, 32, 64, 128):
        model.add(layers.Conv2D(filters, (3, 3), padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(DROPOUT))
    for units in (128, 64, 32):
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(len(EMOTIONS), activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=LEARNING_RATE),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(split: Split) -> keras.Model:
    model = build_model3(split.spectrograms.shape[1:])
    targets = keras.utils.to_categorical(split.labels, len(EMOTIONS))
    model.fit(split.spectrograms, targets, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
    return model


def score(model: keras.Model, split: Split) -> tuple[float, float]:
    """Accuracy over segments, and over recordings by the mean of their segments' probabilities."""
    probabilities = model.predict(split.spectrograms, verbose=0)
    segment_accuracy = float(np.mean(probabilities.argmax(axis=1) == split.labels))
    hits = []
    for recording in np.unique(split.recordings):
        own = split.recordings == recording
        hits.append(probabilities[own].mean(axis=0).argmax() == split.labels[own][0])
    return segment_accuracy, float(np.mean(hits))


def run_fold(corpus: Path, fold: dict, seed: int) -> dict:
    keras.backend.clear_session()  # one fold must not pay for the graphs of those before it
    keras.utils.set_random_seed(seed)
    began = time.perf_counter()
    train_split = prepare(corpus, fold["train"])
    test_split = prepare(corpus, fold["test"])
    featured = time.perf_counter()
    model = train(train_split)
    trained = time.perf_counter()
    segment_accuracy, recording_accuracy = score(model, test_split)
    scored = time.perf_counter()
    return {
        "fold": fold["fold"],
        "feature_s": round(featured - began, 3),
        "train_s": round(trained - featured, 3),
        "score_s": round(scored - trained, 3),
        "train_clips": train_split.clips,
        "test_clips": test_split.clips,
        "train_segments": len(train_split.labels),
        "test_segments": len(test_split.labels),
        "segment_accuracy": segment_accuracy,
        "recording_accuracy": recording_accuracy,
        "dropped": train_split.dropped + test_split.dropped,
    }


def read_job(path: Path) -> dict:
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"The job {path} cannot be read: {error}.") from error
    missing = [key for key in ("corpus", "seed", "folds") if key not in job]
    if missing:
        raise JobError(f"The job {path} lacks {', '.join(missing)}.")
    return job


def run_job(path: Path) -> dict:
    job = read_job(path)
    imported = time.perf_counter()
    folds = [run_fold(Path(job["corpus"]), fold, job["seed"]) for fold in job["folds"]]
    return {
        "import_s": round(imported - START, 3),
        **{key: round(sum(fold[key] for fold in folds), 3) for key in ("feature_s", "train_s", "score_s")},
        "wall_s": round(time.perf_counter() - START, 3),
        "segment_accuracy": float(np.mean([fold["segment_accuracy"] for fold in folds])),
        "recording_accuracy": float(np.mean([fold["recording_accuracy"] for fold in folds])),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "folds": folds,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "librosa": librosa.__version__,
            "numpy": np.__version__,
        },
    }


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python run_fold.py JOB.json", file=sys.stderr)
        return 2
    try:
        print(json.dumps(run_job(Path(sys.argv[1]))))
    except JobError as error:
        print(f"run_fold: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
