"""Features for other machines: read where the cache folder is seen, else made of the recordings, once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.corpora import Corpus
from thymos.engine.tasks import ThisProcess
from thymos.errors import EngineError
from thymos.evaluation.node_features import _here, features_here, for_nodes
from thymos.experiment import Work
from thymos.recipes import load_experiment


class Elsewhere(ThisProcess):
    """An engine that may work on other machines."""

    many_machines = True


@pytest.fixture
def experiment():
    changes = ["features.n_mels=16", "features.hop=4096", "sound.rate_hz=8000"]
    return load_experiment("model1", changes)


@pytest.fixture
def made(experiment, tone_corpus: Corpus, tmp_path: Path):
    work = Work(tmp_path / "cache")
    return for_nodes(Elsewhere(), experiment, tone_corpus, experiment.features(tone_corpus, work), work)


def values(features) -> np.ndarray:
    return np.array(features.open().values)


def test_features_for_this_machine_are_themselves(experiment, tone_corpus: Corpus, tmp_path: Path):
    features = object()
    assert for_nodes(ThisProcess(), experiment, tone_corpus, features, Work(tmp_path)) is features
    with features_here(features, tmp_path, 1) as (given, cache):
        assert given is features and cache == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_node_that_sees_the_cache_reads_there(made, tmp_path: Path):
    with features_here(made, tmp_path / "cache", 1) as (features, cache):
        assert cache == tmp_path / "cache"
        assert len(values(features)) >= 36


def test_another_node_makes_them_once_in_its_own_cache(made, tone_corpus, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "own"))
    with features_here(made, tmp_path / "cache", 1) as (features, _):
        before = values(features)
    shutil.rmtree(tmp_path / "cache")  # it is not seen
    with features_here(made, tmp_path / "cache", 1) as (features, cache):
        assert cache == tmp_path / "own"
        assert np.array_equal(values(features), before)
        own = features
    with features_here(made, tmp_path / "cache", 1) as (features, _):
        assert features is own
    _here.clear()
    # Another folder of the same name is not the one of that machine.
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "seen-by-nodes").write_text("another")
    with features_here(made, tmp_path / "cache", 1) as (_, cache):
        assert cache == tmp_path / "own"
    _here.clear()


def test_a_node_without_cache_and_recordings_says_so(made, tone_corpus, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "own"))
    moved = replace(made.made.get(), corpus=replace(tone_corpus, root=tmp_path / "nowhere"))
    shutil.rmtree(tmp_path / "cache")
    elsewhere = replace(made, made=ThisProcess().share(moved))
    said = r"the node \S+ sees neither the cache folder \S+/cache nor the recordings, such as \S+nowhere/\S+\.wav"
    with pytest.raises(EngineError, match=said), features_here(elsewhere, tmp_path / "cache", 1):
        pass


def test_a_node_without_a_file_that_a_fit_needs_says_so(made, tmp_path: Path):
    with (
        pytest.raises(EngineError, match=r"the node \S+ lacks a file: .*no-model"),
        features_here(made, tmp_path / "cache", 1),
    ):
        (tmp_path / "no-model").read_bytes()
