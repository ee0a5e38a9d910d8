"""A network of voice statistics as a bundle: its graph says what it says, at every length, and it comes back."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from thymos.audio import Samples, read_waveform, resample
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings
from thymos.encoder.export import RecognitionGraph, exportable, read_network
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.voice_statistics import VoiceDescriber, VoiceNetwork
from thymos.errors import BundleError
from thymos.export import write_bundle
from thymos.runtime.bundle import OUTPUTS, read_bundle

FEATURES = LevelMelSettings(n_bands=24)
SIZE = AttentiveSettings(widths=(6, 8), blocks=(1, 1), time_strides=(2, 1), frame_units=10, attention_units=6)
LABELS = ("anger", "fear", "sadness")
SPEEDS = (1.0, 0.9)
ABOUT = {"name": "toy", "version": "1", "licence": "for tests", "trained_on": [{"name": "mini", "stage": "training"}]}


@pytest.fixture(scope="module")
def speech(mini: Path) -> list[Samples]:
    clips = sorted(mini.glob("*/*.opus"))[::12]
    return [resample(read_waveform(clip), FEATURES.rate_hz).samples for clip in clips]


@pytest.fixture(scope="module")
def network(speech: list[Samples]) -> VoiceNetwork:
    """Random weights, and the mean and spread of speech, so that values are neither all near 0 nor all at a bound."""
    torch.manual_seed(0)
    describer = VoiceDescriber(AttentiveEncoder(SIZE, 3, FEATURES.n_bands), FEATURES).eval()
    front_end = LevelMel(FEATURES)
    with torch.inference_mode():
        described = [describer(front_end.levels(torch.from_numpy(clip)[None])).description for clip in speech]
    rows = torch.cat(described)
    made = VoiceNetwork(describer, rows.shape[1], len(LABELS)).eval()
    made.mean.copy_(rows.mean(0))
    made.spread.copy_(rows.std(0) + 1e-6)
    return made


@pytest.fixture(scope="module")
def bundle(network: VoiceNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "toy"
    scored = {"discriminant": {"scored_speeds": len(SPEEDS)}, "training": {"epochs": 0}}
    recipe = EncoderRecipe.model_validate(
        {"name": "toy", "features": FEATURES, "model": SIZE, "speeds": SPEEDS} | scored
    )
    write_bundle(folder, exportable(recipe, network, LABELS), ABOUT)
    return folder


@pytest.fixture(scope="module")
def session(bundle: Path) -> onnxruntime.InferenceSession:
    return read_bundle(bundle).session


def run(session: onnxruntime.InferenceSession, samples: np.ndarray) -> list[np.ndarray]:
    return session.run(list(OUTPUTS), {"waveform": np.atleast_2d(samples)})


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


LENGTHS = [1, 2, 255, 256, 257, 511, 512, 1_023, 1_025, 4_097, 7_777, 16_001, 80_001, 320_000]


@pytest.mark.parametrize("samples", LENGTHS)
def test_the_graph_says_what_the_network_says_at_every_length(
    session: onnxruntime.InferenceSession, network: VoiceNetwork, speech: list[Samples], samples: int
) -> None:
    waveform = np.resize(np.concatenate(speech)[3_000:], samples)
    logits, embedding, frame_logits = run(session, waveform)
    with torch.inference_mode():
        expected = RecognitionGraph(network, FEATURES)(torch.from_numpy(waveform)[None])
        from_levels = network(LevelMel(FEATURES).levels(torch.from_numpy(waveform)[None]))
    assert np.abs(softmax(logits) - softmax(from_levels.numpy())).max() < 1e-4
    np.testing.assert_allclose(embedding, expected[1].numpy(), atol=1e-3)
    np.testing.assert_allclose(frame_logits, expected[2].numpy(), atol=5e-3)
    assert frame_logits.shape[1] >= -(-(1 + samples // FEATURES.hop) // 4)


def test_silence_and_clicks_get_numbers(session: onnxruntime.InferenceSession) -> None:
    click = np.zeros(9_000, np.float32)
    click[5_000] = 1
    for waveform in (np.zeros(100, np.float32), np.zeros(9_000, np.float32), click):
        assert all(np.isfinite(output).all() for output in run(session, waveform))


def test_each_of_a_batch_gets_what_it_gets_alone(session: onnxruntime.InferenceSession, speech: list[Samples]) -> None:
    waveforms = np.stack([clip[2_000:12_000] for clip in speech[:3]])
    together = run(session, waveforms)
    assert np.abs(together[0][0] - together[0][1]).max() > 0.01
    for row, waveform in enumerate(waveforms):
        for whole, alone in zip(together, run(session, waveform), strict=True):
            np.testing.assert_allclose(whole[row], alone[0], atol=1e-3)


def test_writing_leaves_the_network_as_it_was(network: VoiceNetwork, bundle: Path) -> None:
    kept = load_file(bundle / "weights.safetensors")
    own = network.state_dict()
    assert own.keys() == kept.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in own.items())
    assert not network.training


def test_the_bundle_says_what_it_is(bundle: Path, network: VoiceNetwork) -> None:
    about = json.loads((bundle / "model.json").read_text())
    assert about["speeds"] == list(SPEEDS)
    assert about["network"] == "voice"
    assert about["labels"] == list(LABELS)
    assert about["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert read_bundle(bundle).about.speeds == SPEEDS


def test_it_comes_back_as_it_was(bundle: Path, network: VoiceNetwork, speech: list[Samples]) -> None:
    read = read_network(bundle)
    assert isinstance(read.network, VoiceNetwork)
    assert (read.features, read.labels, read.speeds, read.temperature) == (FEATURES, LABELS, SPEEDS, 1.0)
    levels = LevelMel(FEATURES).levels(torch.from_numpy(speech[0])[None])
    with torch.inference_mode():
        assert torch.equal(read.network(levels), network(levels))


def test_weights_for_descriptions_of_another_length_are_refused(bundle: Path, tmp_path: Path) -> None:
    """As those of a version that describes recordings by other statistics."""
    folder = Path(shutil.copytree(bundle, tmp_path / "other"))
    state = load_file(folder / "weights.safetensors")
    for name in ("mean", "spread", "linear.weight"):
        state[name] = torch.cat([state[name], state[name][..., :1]], dim=-1)
    save_file(state, folder / "weights.safetensors")
    about = json.loads((folder / "model.json").read_text())
    about["sha256"]["weights.safetensors"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(BundleError, match="is no model that this version can use"):
        read_network(folder)


def test_channels_that_statistics_cannot_be_made_of_are_refused(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "other"))
    about = json.loads((folder / "model.json").read_text())
    about["front_end"]["channels"] = about["front_end"]["channels"][:1]
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(BundleError, match="two mel channels and a log channel"):
        read_network(folder)
