"""The same answer through torch: what somebody would wait for who did not have the graph.

    python -m thymos.bench.torch_way MODEL CLIP THREADS

A bundle may come without its weights, which only the graph then has. The time does not depend on them, so
``stand_in`` makes a model of the bundle's description with random ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from thymos.audio import played, read_waveform, resample
from thymos.bench.child import BenchError
from thymos.bench.timing import run_as_job
from thymos.encoder.attentive import AttentiveSettings, EmotionHead, EmotionNetwork, build_encoder
from thymos.encoder.bundle_writer import read_recogniser, write_weights
from thymos.encoder.export import RecognitionGraph
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.voice_network import VoiceDescriber, VoiceNetwork
from thymos.runtime.bundle import ABOUT, WEIGHTS

_ALIKE = 0.02
"""A version whose networks have a few numbers more or less takes the same time."""


def answer(model: Path, clip: Path, threads: int) -> str:
    """Return the emotion that the model in ``model`` hears in ``clip``.

    Decoded, resampled and heard at each of the bundle's speeds as the recogniser does, and without its gate.
    """
    torch.set_num_threads(threads)
    recogniser, _ = read_recogniser(model)
    rate_hz = recogniser.features.rate_hz
    graph = RecognitionGraph(recogniser.network, recogniser.features).eval()
    heard = resample(read_waveform(clip), rate_hz)
    with torch.inference_mode():
        logits = [graph(torch.from_numpy(played(heard, speed, rate_hz))[None])[0][0] for speed in recogniser.speeds]
    return recogniser.labels[int(torch.stack(logits).mean(0).argmax())]


def stand_in(model: Path, folder: Path) -> tuple[Path, str]:
    """Return a folder from which torch can load the model in ``model``, and a note on what it is.

    It is the bundle itself if that has weights, else ``folder``, to which a network with random ones is written.

    Raises:
        BenchError: the description does not say all of the network, so another one would be measured.
    """
    if (model / WEIGHTS).is_file():
        return model, "its own weights; without the gate"
    about = json.loads((model / ABOUT).read_text(encoding="utf-8"))
    torch.manual_seed(0)
    features = LevelMelSettings.model_validate(about["front_end"])
    size = AttentiveSettings.model_validate(about["encoder"])
    labels = about["labels"]
    encoder = build_encoder(size, len(features.channels), features.n_bands)
    network: EmotionNetwork | VoiceNetwork
    if about["network"] == "voice":
        describer = VoiceDescriber(encoder, features).eval()
        described = describer(torch.zeros(1, len(features.channels), features.n_bands, 16))
        network = VoiceNetwork(describer, described.description.shape[1], len(labels))
    else:
        network = EmotionNetwork(encoder, EmotionHead(size.embedding, len(labels), 0.0))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if abs(parameters / about["parameters"] - 1) > _ALIKE:
        raise BenchError(f"the model has {about['parameters']} parameters, one of its description {parameters}")
    write_weights(folder, network, {name: value for name, value in about.items() if name != "familiarity"})
    note = "random weights; without the gate"
    if parameters != about["parameters"]:  # the bundle was made by another version
        note = f"{parameters:,} parameters for the bundle's {about['parameters']:,}, {note}"
    return folder, note


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Make what ``answer`` loads: untimed."""
    folder, note = stand_in(Path(job["model"]), Path(job["folder"]))
    return {"folder": str(folder), "note": note}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        run_as_job(main)
    else:
        print(answer(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
