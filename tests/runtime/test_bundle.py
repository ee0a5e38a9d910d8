"""A bundle that was tampered with, cut off or made by another version is refused in one sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from thymos import export
from thymos.errors import BundleError
from thymos.export import rewrite_bundle
from thymos.runtime import bundle as bundles
from thymos.runtime.bundle import ABOUT, DISTRIBUTION, FORMAT, GRAPH, WEIGHTS, find_bundle, read_bundle


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def change(folder: Path, **changes: object) -> None:
    about = json.loads((folder / ABOUT).read_text())
    for key, value in changes.items():
        if value is None:
            about.pop(key)
        else:
            about[key] = value
    (folder / ABOUT).write_text(json.dumps(about))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(find_bundle(folder))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 300
    return said


def test_fields_are_those_of_the_design(bundle):
    about = json.loads((bundle / ABOUT).read_text())
    design = (
        "format name version labels rate_hz window_s hop_s front_end parameters temperature conformal familiarity "
        "trained_on licence scores sha256"
    )
    assert set(design.split()) <= set(about)
    assert set(about["sha256"]) == {GRAPH, WEIGHTS, DISTRIBUTION} == {p.name for p in bundle.iterdir()} - {ABOUT}


@pytest.mark.parametrize("name", [GRAPH, DISTRIBUTION])
def test_changed_and_cut_off_files_are_refused(copy, name):
    content = (copy / name).read_bytes()
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    (copy / name).write_bytes(changed)
    assert "SHA-256 differs" in refusal(copy)
    (copy / name).write_bytes(content[:-1])
    assert "SHA-256 differs" in refusal(copy)
    (copy / name).unlink()
    assert "cannot be read" in refusal(copy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": FORMAT + 1}, "newer than the 2 that this version reads"),
        ({"format": 1}, "old format 1"),
        ({"format": "two"}, "does not say its format"),
        ({"labels": None}, "labels"),
        ({"labels": ["anger", "anger", "fear", "sadness", "disgust"]}, "named twice"),
        ({"labels": ["anger", "fear"]}, "tells 5 emotions apart, and model.json names 2"),
        ({"temperature": 0}, "temperature"),
        ({"hop_s": 50}, "hop_s is longer"),
        ({"sha256": {}}, "without a graph"),
        ({"conformal": {"coverage": 2, "rows": 3}}, "conformal.coverage"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(copy, changes, words):
    change(copy, **changes)
    assert words in refusal(copy)


def test_a_description_that_is_none_is_refused(copy):
    (copy / ABOUT).write_text("{")
    assert "no JSON" in refusal(copy)
    (copy / ABOUT).write_text("[1]")
    assert "does not say its format" in refusal(copy)
    (copy / ABOUT).unlink()
    assert "holds no model.json" in refusal(copy)
    assert "is no folder" in refusal(copy / "absent")


def resign(folder: Path, name: str) -> None:
    """Make ``model.json`` agree with a file that was exchanged: an honest digest of a wrong file."""
    import hashlib

    about = json.loads((folder / ABOUT).read_text())
    about["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / ABOUT).write_text(json.dumps(about))


def test_a_graph_that_is_none_is_refused(copy):
    (copy / GRAPH).write_bytes(b"no graph")
    resign(copy, GRAPH)
    assert "is no graph that this onnxruntime can run" in refusal(copy)
    vad = next((Path(bundles.__file__).parents[1] / "weights" / "vad").glob("*.onnx"))
    shutil.copy(vad, copy / GRAPH)
    resign(copy, GRAPH)
    assert "does not take a waveform" in refusal(copy)


@pytest.mark.parametrize("table", [np.zeros((3, 7), np.float32), np.zeros((4, 32)), np.full((4, 32), np.nan, "f4")])
def test_a_table_of_other_embeddings_is_refused(copy, table):
    np.save(copy / DISTRIBUTION, table)
    resign(copy, DISTRIBUTION)
    assert DISTRIBUTION in refusal(copy)


def test_a_pickle_is_refused(copy):
    np.save(copy / DISTRIBUTION, np.array([{"a": 1}], object), allow_pickle=True)
    resign(copy, DISTRIBUTION)
    assert "is no array" in refusal(copy)


def test_search_goes_from_the_explicit_path_over_the_environment_to_the_shipped(bundle, copy, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "shipped_folder", lambda: bundle)
    monkeypatch.delenv("THYMOS_MODEL", raising=False)
    assert find_bundle() == bundle
    monkeypatch.setenv("THYMOS_MODEL", str(copy))
    assert find_bundle() == copy
    assert find_bundle(bundle) == bundle
    monkeypatch.setenv("THYMOS_MODEL", str(tmp_path / "absent"))
    with pytest.raises(BundleError, match="named by THYMOS_MODEL"):
        find_bundle()
    monkeypatch.delenv("THYMOS_MODEL")
    monkeypatch.setattr(bundles, "shipped_folder", lambda: tmp_path / "absent")
    with pytest.raises(BundleError, match="no model comes with this installation"):
        find_bundle()


def test_writing_anew_gives_the_same_answers(bundle, tmp_path, recognizer, spoken):
    rewrite_bundle(bundle, tmp_path / "again", {"name": "other", "licence": "free"}, False, lambda about: [])
    from thymos.runtime.recognizer import load

    again = load(tmp_path / "again")
    assert "other 7" in repr(again) and "licence: free" in repr(again)
    first, second = (model.predict(spoken[0]) for model in (recognizer, again))
    assert first.probabilities == second.probabilities and first.prediction_set == second.prediction_set


def test_a_half_written_bundle_has_no_description(make_bundle, copy, monkeypatch):
    """Killed while the graph is written over an earlier bundle, nothing that looks like a model is left."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_graph", killed)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(copy)
    assert "holds no model.json" in refusal(copy)
