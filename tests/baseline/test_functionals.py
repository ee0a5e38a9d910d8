"""Functionals by openSMILE where it is installed, and what is said where it is not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from thymos.baseline.functionals import FunctionalsSettings, check_opensmile, make_functionals, read_functionals
from thymos.corpora import Corpus, open_corpus
from thymos.errors import AudioError, MissingExtraError

INSTALLED = importlib.util.find_spec("opensmile") is not None
needs_opensmile = pytest.mark.skipif(
    not INSTALLED, reason="needs the extra thymos[functionals]: openSMILE, whose licence is for research only"
)
SMALL = FunctionalsSettings(feature_set="eGeMAPSv02")


@pytest.fixture
def corpus(tmp_path: Path, write_sound, make_tone) -> Corpus:
    for emotion, hz in (("anger", 220.0), ("sadness", 110.0)):
        write_sound(tmp_path / "corpus" / emotion / "a.wav", make_tone(1.0, 16_000, hz))
        write_sound(tmp_path / "corpus" / emotion / "b.wav", make_tone(0.02, 16_000, hz))
        write_sound(tmp_path / "corpus" / emotion / "c.wav", make_tone(1.0, 44_100, hz), 44_100)
    return open_corpus(tmp_path / "corpus")


@pytest.mark.skipif(INSTALLED, reason="openSMILE is installed")
def test_what_is_missing_is_named_with_its_licence(corpus, tmp_path):
    for call in (check_opensmile, lambda: make_functionals(corpus, SMALL, tmp_path)):
        with pytest.raises(MissingExtraError, match=r"research only.*pip install 'thymos\[functionals\]'"):
            call()


@needs_opensmile
@pytest.mark.parametrize(("feature_set", "functionals"), [("eGeMAPSv02", 88), ("ComParE_2016", 6373)])
def test_every_recording_has_its_functionals_however_short(corpus, tmp_path, feature_set, functionals):
    files = make_functionals(corpus, FunctionalsSettings(feature_set=feature_set), tmp_path / "cache")
    values = read_functionals(files)
    assert values.shape == (6, functionals)
    assert np.isfinite(values).all()


@needs_opensmile
def test_they_are_opensmiles_own(corpus, tmp_path):
    import opensmile

    values = read_functionals(make_functionals(corpus, SMALL, tmp_path / "cache"))
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    place = [clip.path for clip in corpus.clips].index("anger/a.wav")
    own = smile.process_file(str(corpus.root / "anger/a.wav")).to_numpy()[0]
    # openSMILE reads the file with 16 bits, as it is written.
    np.testing.assert_allclose(values[place], own, rtol=1e-3, atol=1e-3)
    pitch = list(smile.feature_names).index("F0semitoneFrom27.5Hz_sma3nz_amean")
    assert values[place, pitch] == pytest.approx(12 * np.log2(220 / 27.5), abs=0.3)


@needs_opensmile
def test_the_rate_of_a_recording_makes_little_difference(corpus, tmp_path):
    values = read_functionals(make_functionals(corpus, SMALL, tmp_path / "cache"))
    paths = [clip.path for clip in corpus.clips]
    slow, fast = values[paths.index("anger/a.wav")], values[paths.index("anger/c.wav")]
    np.testing.assert_allclose(slow[:10], fast[:10], rtol=0.02, atol=0.1)


@needs_opensmile
def test_they_are_made_once_and_only_what_is_missing_is_made_again(corpus, tmp_path):
    steps: list[None] = []
    files = make_functionals(corpus, SMALL, tmp_path / "cache", lambda: steps.append(None), threads=3)
    before = {file: file.stat().st_mtime_ns for file in files}
    values = read_functionals(files)
    files[2].unlink()
    again = make_functionals(corpus, SMALL, tmp_path / "cache", lambda: steps.append(None), threads=1)
    assert again == files
    assert len(steps) == 12
    assert [file for file in files if file.stat().st_mtime_ns != before[file]] == [files[2]]
    np.testing.assert_array_equal(read_functionals(again), values)
    other_rate = FunctionalsSettings(feature_set="eGeMAPSv02", rate_hz=8000)
    assert not set(make_functionals(corpus, other_rate, tmp_path / "cache")) & set(files)


@needs_opensmile
def test_a_file_that_is_gone_is_named(corpus, tmp_path):
    (corpus.root / "anger/a.wav").unlink()
    with pytest.raises(AudioError, match=r"^anger/a\.wav "):
        make_functionals(corpus, SMALL, tmp_path / "cache")
