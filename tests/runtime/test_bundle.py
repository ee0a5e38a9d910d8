"""A bundle that was tampered with, cut off or made by another version is refused in one sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from thymos.encoder import weights
from thymos.errors import BundleError
from thymos.runtime import bundle as bundles
from thymos.runtime import rewriting
from thymos.runtime.bundle import ABOUT, DISTRIBUTION, FORMAT, find_bundle, read_bundle
from thymos.runtime.hearing import ENCODER_ABOUT, ENCODER_GRAPH, ENCODER_WEIGHTS, GRAPH, HEAD
from thymos.runtime.model_files import open_session
from thymos.runtime.rewriting import rewrite_bundle

ENCODER = {ENCODER_ABOUT, ENCODER_GRAPH, ENCODER_WEIGHTS}


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


@pytest.mark.slow
def test_fields_are_those_of_the_design(bundle):
    about = json.loads((bundle / ABOUT).read_text())
    design = (
        "format name version labels rate_hz window_s hop_s front_end parameters temperature conformal familiarity "
        "trained_on licence scores sha256"
    )
    assert set(design.split()) <= set(about)
    assert set(about["sha256"]) == {HEAD, DISTRIBUTION, *ENCODER} == {p.name for p in bundle.iterdir()} - {ABOUT}


@pytest.mark.slow
@pytest.mark.parametrize("name", [HEAD, ENCODER_GRAPH, ENCODER_WEIGHTS, DISTRIBUTION])
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
        ({"format": FORMAT + 1}, "newer than the 3 that this version reads"),
        ({"format": 2}, "is of the old format 2: train or export it anew"),
        ({"format": "two"}, "does not say its format"),
        ({"labels": None}, "labels"),
        ({"labels": ["anger", "anger", "fear", "sadness", "disgust"]}, "named twice"),
        ({"labels": ["anger", "fear"]}, "tells 5 emotions apart, and model.json names 2"),
        ({"temperature": 0}, "temperature"),
        ({"hop_s": 50}, "hop_s is longer"),
        ({"sha256": {}}, "without a graph"),
        ({"sha256": {HEAD: "0"}}, "a head needs an encoder"),
        ({"sha256": {HEAD: "0", GRAPH: "0"}}, "either a graph that tells logits, or an encoder with a head"),
        ({"layers": [1, 2, 3]}, "decides by 256 numbers"),
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


@pytest.mark.slow
def test_a_graph_that_is_none_is_refused(copy):
    (copy / ENCODER_GRAPH).write_bytes(b"no graph")
    resign(copy, ENCODER_GRAPH)
    assert "is no graph that this onnxruntime can run" in refusal(copy)
    vad = next((Path(bundles.__file__).parents[1] / "weights" / "vad").glob("*.onnx"))
    shutil.copy(vad, copy / ENCODER_GRAPH)
    resign(copy, ENCODER_GRAPH)
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
    monkeypatch.setattr(bundles, "shipped_models", lambda: {"toy": bundle, "other": copy})
    monkeypatch.delenv("THYMOS_MODEL", raising=False)
    assert find_bundle() == bundle
    monkeypatch.setenv("THYMOS_MODEL", str(copy))
    assert find_bundle() == copy
    assert find_bundle(bundle) == bundle
    monkeypatch.setenv("THYMOS_MODEL", "toy")
    assert find_bundle() == bundle and find_bundle("other") == copy
    with pytest.raises(BundleError, match=r"nobody is no folder, and no model that comes along \(toy, other\)"):
        find_bundle("nobody")
    monkeypatch.setenv("THYMOS_MODEL", str(tmp_path / "absent"))
    with pytest.raises(BundleError, match="named by THYMOS_MODEL"):
        find_bundle()
    monkeypatch.delenv("THYMOS_MODEL")
    monkeypatch.setattr(bundles, "shipped_models", dict)
    with pytest.raises(BundleError, match="no model comes with this installation"):
        find_bundle()


def test_writing_anew_gives_the_same_answers(bundle, tmp_path, recognizer, spoken):
    rewrite_bundle(bundle, tmp_path / "again", {"name": "other", "licence": "free"}, [], lambda about: [])
    from thymos.runtime.recognizer import load

    again = load(tmp_path / "again")
    assert "other 7" in repr(again) and "licence: free" in repr(again)
    first, second = (model.predict(spoken[0]) for model in (recognizer, again))
    assert first.probabilities == second.probabilities and first.prediction_set == second.prediction_set


def test_a_half_written_bundle_has_no_description(make_bundle, copy, monkeypatch):
    """Killed while the graph is written over an earlier bundle, nothing that looks like a model is left."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "write_encoder_graph", killed)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(copy)
    assert "holds no model.json" in refusal(copy)


def rewritten(folder: Path, **changes: str) -> None:
    """Change where the encoder's graph looks for its first tensor, honestly signed."""
    model = onnx.load(folder / ENCODER_GRAPH, load_external_data=False)
    tensor = next(each for each in model.graph.initializer if each.external_data)
    for entry in tensor.external_data:
        entry.value = changes.get(entry.key, entry.value)
    (folder / ENCODER_GRAPH).write_bytes(model.SerializeToString())
    resign(folder, ENCODER_GRAPH)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"location": "../secret.bin"}, "not found"),
        ({"location": "/etc/hostname"}, "not found"),
        ({"location": DISTRIBUTION}, "not found"),
        ({"offset": str(1 << 40)}, "out of bounds"),
        ({"offset": "-8"}, "out of bounds"),
        ({"length": "4"}, "mismatch"),
    ],
)
def test_a_graph_that_looks_elsewhere_for_its_weights_is_refused(copy, changes, words, monkeypatch):
    (copy.parent / "secret.bin").write_bytes(bytes(1 << 20))
    monkeypatch.chdir(copy)  # where onnxruntime would look by itself
    rewritten(copy, **changes)
    said = refusal(copy)
    assert "is no graph that this onnxruntime can run" in said and words in said


def test_a_graph_of_logits_has_no_weights_outside(tmp_path, monkeypatch):
    """Without the table of files that it may read, onnxruntime would open what the graph names."""
    np.arange(4, dtype=np.float32).tofile(tmp_path / "outside.bin")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="outside.bin")
    values = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "outside", values[:1], values[1:], [tensor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="not found"):
        open_session(model.SerializeToString(), tmp_path / "model.onnx")


def test_weights_that_were_cut_off_and_signed_anew_are_refused(copy):
    content = (copy / ENCODER_WEIGHTS).read_bytes()
    (copy / ENCODER_WEIGHTS).write_bytes(content[: len(content) // 2])
    resign(copy, ENCODER_WEIGHTS)
    assert "out of bounds" in refusal(copy)


def test_an_encoder_that_is_left_out_is_the_shipped_one_or_refused(bundle, recognizer, spoken, tmp_path, monkeypatch):
    small = tmp_path / "small"
    with pytest.raises(BundleError, match="does not hear by the encoder that comes with Thymos"):
        rewrite_bundle(bundle, small, {}, ENCODER, lambda about: [])
    assert not small.exists()
    for module in (bundles, rewriting):
        monkeypatch.setattr(module, "shipped_encoder", lambda: bundle)
    rewrite_bundle(bundle, small, {}, ENCODER, lambda about: [])
    assert {path.name for path in small.iterdir()} == {ABOUT, HEAD, DISTRIBUTION}
    from thymos.runtime.recognizer import load

    assert load(small).predict(spoken[0]) == recognizer.predict(spoken[0])
    assert read_bundle(small).size_bytes == recognizer.bundle.size_bytes
    assert read_bundle(small).digest == recognizer.bundle.digest
    monkeypatch.setattr(bundles, "shipped_encoder", lambda: tmp_path / "another")
    assert "holds no encoder, and the one that comes with this version is another" in refusal(small)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.zeros((256, 5), "f4")}, "a table of weights and a row of bias"),
        ({"weights": np.zeros((255, 5), "f4"), "bias": np.zeros(5, "f4")}, "decides by 255 numbers"),
        ({"weights": np.zeros((256, 4), "f4"), "bias": np.zeros(4, "f4")}, "tells 4 emotions apart"),
        ({"weights": np.full((256, 5), np.inf, "f4"), "bias": np.zeros(5, "f4")}, "finite 32-bit numbers"),
        ({"weights": np.zeros((256, 5)), "bias": np.zeros(5)}, "finite 32-bit numbers"),
        ({"weights": np.array([{"a": 1}], object), "bias": np.zeros(5, "f4")}, "holds no arrays"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(copy, arrays, words):
    np.savez(copy / HEAD, **arrays)
    resign(copy, HEAD)
    assert words in refusal(copy)


def test_a_head_that_is_no_archive_is_refused(copy):
    (copy / HEAD).write_bytes(b"no archive")
    resign(copy, HEAD)
    assert "holds no arrays" in refusal(copy)
