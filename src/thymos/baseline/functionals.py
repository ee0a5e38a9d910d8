"""Functionals of whole recordings by openSMILE: one vector a recording, made once and kept on disk.

openSMILE (Eyben, Wöllmer & Schuller 2010, openSMILE – the Munich versatile and fast open-source audio feature
extractor, ACM Multimedia) is no part of Thymos: it is an extra of its own, since its licence is for research only.
"""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from thymos.audio import Waveform, resample
from thymos.cache import is_sealed_array, save_sealed_array
from thymos.config import Settings
from thymos.corpora.table import Clip, Corpus
from thymos.errors import MissingExtraError

SHORTEST_S = 0.1
"""Shorter recordings are followed by silence up to this length: openSMILE's longest frame is 60 ms."""


class FunctionalsSettings(Settings):
    """How a recording becomes one vector."""

    feature_set: Literal["ComParE_2016", "eGeMAPSv02"] = "ComParE_2016"
    """``ComParE_2016``: 6373 functionals (Schuller et al. 2016, The INTERSPEECH 2016 computational paralinguistics
    challenge); ``eGeMAPSv02``: 88 (Eyben et al. 2016, The Geneva minimalistic acoustic parameter set, IEEE Trans.
    Affective Computing 7(2))."""
    rate_hz: PositiveInt = 16_000
    """Recordings are resampled to this: many functionals change with the band. The challenges' data have 16 kHz."""


def check_opensmile() -> None:
    """Check that openSMILE is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec("opensmile") is None:
        raise MissingExtraError(
            "functionals need openSMILE, whose licence is for research only, not for commercial use: "
            "pip install 'thymos[functionals]'"
        )


def opensmile_version() -> str:
    """Return the version of openSMILE, which must be installed."""
    return metadata.version("opensmile")


def make_functionals(
    corpus: Corpus,
    settings: FunctionalsSettings,
    cache_dir: Path,
    advance: Callable[[], None] = lambda: None,
    threads: int = 2,
) -> list[Path]:
    """Return the file of each clip's functionals, in the order of ``corpus.clips``; those not yet there are made.

    They are named by the clip's sound, the settings and the version of openSMILE, so corpora and protocols share them,
    and a run that was cut short loses none.

    Args:
        corpus: whose clips.
        settings: how they become vectors.
        cache_dir: where they are kept.
        advance: called after each clip.
        threads: clips at work at once.

    Raises:
        AudioError: a file can no longer be read.
        MissingExtraError: openSMILE is not installed.
    """
    check_opensmile()
    folder = cache_dir / "functionals" / f"{settings.feature_set}-{settings.rate_hz}-{opensmile_version()}"
    extract: Callable[[Waveform], NDArray[np.float32]] | None = None

    def file_of(clip: Clip) -> Path:
        return folder / f"{clip.sound.sha256}.npy"

    # openSMILE takes seconds to import, and is not needed where all is there.
    kept = {clip.sound.sha256: is_sealed_array(file_of(clip)) for clip in corpus.clips}
    if not all(kept.values()):
        extract = _extractor(settings)

    def made(clip: Clip) -> Path:
        path = file_of(clip)
        if extract is not None and not kept[clip.sound.sha256]:
            waveform = corpus.waveform(clip)
            vector = extract(waveform)
            save_sealed_array(path, vector)
        advance()
        return path

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(made, corpus.clips))


def read_functionals(files: list[Path]) -> NDArray[np.float64]:
    """Return functionals that ``make_functionals`` made, shape ``(recordings, functionals)``."""
    return np.stack([np.load(file) for file in files]).astype(np.float64)


def _extractor(settings: FunctionalsSettings) -> Callable[[Waveform], NDArray[np.float32]]:
    import opensmile

    smile: Any = opensmile.Smile(
        feature_set=opensmile.FeatureSet[settings.feature_set], feature_level=opensmile.FeatureLevel.Functionals
    )

    def extract(waveform: Waveform) -> NDArray[np.float32]:
        samples = resample(waveform, settings.rate_hz).samples
        lacking = max(0, round(SHORTEST_S * settings.rate_hz) - len(samples))
        table = smile.process_signal(np.pad(samples, (0, lacking)), settings.rate_hz)
        vector: NDArray[np.float32] = table.to_numpy(np.float32)[0]
        return vector

    return extract
