"""The exported graph says what the network says, at every length."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from thymos.audio import read_waveform, resample
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.export import RecognitionGraph
from thymos.encoder.level_mel import ChannelSettings, LevelMel, LevelMelSettings
from thymos.export import write_graph

CLASSES = 5
FEATURES = LevelMelSettings(channels=(ChannelSettings(window=400), ChannelSettings(window=1024)), n_bands=33)
SMALL = {"widths": (8, 12, 16), "blocks": (1, 2, 1), "time_strides": (2, 1, 2), "frame_units": 24}


def network_of() -> EmotionNetwork:
    """A network whose normalisations have seen spectrograms, so that folding them in matters."""
    settings = AttentiveSettings(**SMALL)
    torch.manual_seed(0)
    encoder = AttentiveEncoder(settings, len(FEATURES.channels), FEATURES.n_bands)
    network = EmotionNetwork(encoder, EmotionHead(settings.embedding, CLASSES, 0.3)).train()
    for _ in range(20):
        network(2 * torch.randn(8, len(FEATURES.channels), FEATURES.n_bands, 60) + 1)
    with torch.no_grad():
        network.head.linear.weight.mul_(10)  # logits far apart, so that probabilities are no near-equal fifths
    return network.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    network = network_of()
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(path, RecognitionGraph(network, FEATURES), 20_000)
    return network, onnxruntime.InferenceSession(path)


def sound(batch: int, samples: int) -> np.ndarray:
    random = np.random.default_rng(samples)
    return random.normal(0, 0.1, (batch, samples)).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


LENGTHS = [1, 2, 255, 256, 257, 511, 512, 513, 767, 1023, 1025, 4095, 4097, 7_777, 16_001, 80_000, 480_000]


@pytest.mark.parametrize("samples", LENGTHS)
def test_graph_says_what_the_network_says_at_every_length(exported, samples):
    network, session = exported
    waveform = sound(1, samples)
    logits, embedding, frame_logits = session.run(None, {"waveform": waveform})
    with torch.inference_mode():
        encoded = network.encoder(LevelMel(FEATURES)(torch.from_numpy(waveform)))
        expected = network.head(encoded.embedding).numpy()
    assert np.abs(softmax(logits) - softmax(expected)).max() < 1e-4
    np.testing.assert_allclose(embedding, encoded.embedding.numpy(), atol=1e-3)
    assert frame_logits.shape == (1, encoded.frames.shape[1], CLASSES)


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_each_of_a_batch_gets_what_it_gets_alone(exported, batch):
    _, session = exported
    waveform = sound(batch, 9_999)
    together = session.run(None, {"waveform": waveform})
    for row in range(batch):
        for whole, alone in zip(together, session.run(None, {"waveform": waveform[row : row + 1]}), strict=True):
            np.testing.assert_allclose(whole[row], alone[0], atol=1e-4)


def test_recordings_logits_are_the_attended_mean_of_frame_logits(exported):
    network, session = exported
    waveform = sound(1, 40_000)
    logits, _, frame_logits = session.run(None, {"waveform": waveform})
    with torch.inference_mode():
        frames = network.encoder(LevelMel(FEATURES)(torch.from_numpy(waveform))).frames
        weights = network.encoder.attention(frames).softmax(1).numpy()
    assert weights.std() > 1e-4  # else any mean would do
    np.testing.assert_allclose((weights * frame_logits).sum(1), logits, atol=1e-3)


def test_normalisation_is_folded_into_the_convolutions(exported, tmp_path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    network, _ = exported
    write_graph(tmp_path / "model.onnx", RecognitionGraph(network, FEATURES), 20_000)
    onnxruntime.InferenceSession(tmp_path / "model.onnx", options)
    import onnx

    operations = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert operations.count("Conv") == convolutions
    assert operations.count("BatchNormalization") <= 3  # frames, and the head's two uses


def test_writing_leaves_the_network_as_it_was(tmp_path):
    network = network_of().to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    write_graph(tmp_path / "model.onnx", RecognitionGraph(network, FEATURES), 20_000)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_level_does_not_matter(exported):
    _, session = exported
    waveform = sound(1, 20_000)
    loud, quiet = (session.run(None, {"waveform": waveform * scale})[0] for scale in (4.0, 0.05))
    np.testing.assert_allclose(softmax(loud), softmax(quiet), atol=1e-3)


@pytest.mark.real
def test_parity_on_real_clips(exported, aesdd):
    network, session = exported
    graph = RecognitionGraph(network, FEATURES).eval()
    clips = sorted(Path(aesdd).glob("*/*.flac"))[::40]
    assert len(clips) >= 10
    for clip in clips:
        samples = resample(read_waveform(clip), FEATURES.rate_hz).samples[None]
        with torch.inference_mode():
            expected = graph(torch.from_numpy(samples))[0].numpy()
        got = session.run(None, {"waveform": samples})[0]
        assert np.abs(softmax(got) - softmax(expected)).max() < 1e-4
