"""What is measured in a process of its own: files heard by Thymos and by peers, a stream, a long file.

    python benchmarks/peers/jobs.py NAME '{"files": ["a.flac"], "budget_s": 10, "least": 3, …}'

Prints one JSON object: the seconds that each turn took by the clock and of the processor, and seconds of sound in each.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RATE_HZ, PEERS_RATE_HZ = 44_100, 16_000
LONGEST_CLIP_S = 30.0
"""Recordings are cut at this length, up to which they are heard as one; long ones are measured on their own."""
JOINED_S = 60.0
"""Of the speech that the stream and the long files repeat."""

Job = dict[str, Any]

_DEEP = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
_DEEP |= {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
_ROBUST = _DEEP | {"num_hidden_layers": 12, "conv_bias": True}
_WHISPER = {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072}
SHAPES: dict[str, tuple[str, dict[str, Any], str, float]] = {
    "wav2vec2-base": ("Wav2Vec2", {}, "wav2vec 2.0 BASE", 95.0),
    "wav2vec2-large-12": ("Wav2Vec2", _ROBUST, "wav2vec 2.0 LARGE, 12 layers", 165.0),
    "hubert-large": ("Hubert", _ROBUST | {"num_hidden_layers": 24}, "HuBERT LARGE", 316.6),
    "wavlm-large": ("WavLM", _DEEP | {"num_hidden_layers": 24}, "WavLM LARGE", 316.6),
    "whisper-small": ("Whisper", _WHISPER, "Whisper small, encoder", 88.2),
}
"""Published networks: class of `transformers`, what differs from its configuration's defaults, name, and millions of
parameters. Sources: Baevski et al., NeurIPS 2020; Wagner et al., IEEE TPAMI 45(9), 2023 (12 layers: emotion from
MSP-Podcast); Hsu et al., IEEE/ACM TASLP 29, 2021; Chen et al., IEEE J-STSP 16(6), 2022; Radford et al., ICML 2023
(244 million with its decoder)."""


def make_network(shape: str) -> Any:
    """The network with random weights: what it hears is nonsense, and takes as long as with trained ones."""
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    kind, differences, _, _ = SHAPES[shape]
    network = WhisperEncoder if kind == "Whisper" else getattr(transformers, f"{kind}Model")
    return network(getattr(transformers, f"{kind}Config")(**differences)).eval()


def hear_with(network: Any, file: str) -> Any:
    """The last layer's frames of a whole file at once, where an emotion classifier would only begin."""
    import torch
    from transformers import WhisperFeatureExtractor

    from thymos.audio import read_waveform, resample

    samples = resample(read_waveform(Path(file)), PEERS_RATE_HZ).samples
    sound = torch.from_numpy(samples)[None]
    if network.config.model_type == "whisper":  # takes 30 s of log-mel spectrogram, whatever the file's length
        front_end = WhisperFeatureExtractor(feature_size=network.config.num_mel_bins)
        sound = front_end(samples, sampling_rate=PEERS_RATE_HZ, return_tensors="pt").input_features
    with torch.inference_mode():
        return network(sound).last_hidden_state


def repeated(work: Callable[[int], object], job: Job) -> Job:
    """Do ``work`` with 0, 1, 2 … for ``budget_s``, at least ``least`` times; it has worked once before."""
    wall_s: list[float] = []
    cpu_s: list[float] = []
    while sum(wall_s) < job["budget_s"] or len(wall_s) < job["least"]:
        wall, cpu = time.perf_counter(), time.process_time()
        work(len(wall_s))
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def in_turn(hear: Callable[[str], object], job: Job) -> Job:
    import soundfile

    files = job["files"]
    lengths_s = [soundfile.info(file).duration for file in files]
    hear(files[0])
    took = repeated(lambda turn: hear(files[turn % len(files)]), job)
    return took | {"sound_s": list(itertools.islice(itertools.cycle(lengths_s), len(took["wall_s"])))}


def thymos_files(job: Job) -> Job:
    import thymos

    recognizer = thymos.load(job["model"], 1)
    answered: list[bool] = []
    took = in_turn(lambda file: answered.append(recognizer.predict(file).emotion is not None), job)
    return took | {"note": f"{recognizer.name}; speech in {sum(answered) / len(answered):.0%} of the files"}


def vad_files(job: Job) -> Job:
    from thymos.audio.blocks import open_blocks
    from thymos.runtime.vad import VadStream

    def hear(file: str) -> None:
        with open_blocks(file) as sound:
            vad = VadStream(sound.rate_hz)
            for block in sound.blocks:
                vad.push(block)
            vad.finish()

    return in_turn(hear, job)


def opensmile_files(job: Job) -> Job:
    """Functionals of files resampled to 16 kHz, which its feature sets are used at and halves the work."""
    import opensmile

    features = opensmile.Smile(
        getattr(opensmile.FeatureSet, job["features"]),
        opensmile.FeatureLevel.Functionals,
        sampling_rate=PEERS_RATE_HZ,
        resample=True,
    )
    return in_turn(features.process_file, job) | {"note": f"opensmile {opensmile.__version__}"}


def network_files(job: Job) -> Job:
    import torch
    import transformers

    torch.set_num_threads(1)
    network = make_network(job["shape"])
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    took = in_turn(lambda file: hear_with(network, file), job)
    return took | {"note": f"random weights, {millions:.0f} million parameters, float32, {versions}"}


def save_network(job: Job) -> Job:
    """Write what ``answer`` loads."""
    make_network(job["shape"]).save_pretrained(job["folder"])
    return {}


def answer(job: Job) -> Job:
    """What somebody waits for who hears one file with a network from disk: libraries, weights, frames."""
    import torch
    import transformers

    torch.set_num_threads(1)
    network = getattr(transformers, f"{SHAPES[job['shape']][0]}Model").from_pretrained(job["folder"])
    return {"frames": len(hear_with(network.eval(), job["file"])[0])}


def stream(job: Job) -> Job:
    import thymos
    from thymos.runtime.benchmark import live_hops

    hop = live_hops(thymos.load(job["model"], 1), Path(job["speech"]), job["hop_s"])
    return repeated(lambda turn: hop(), job)


def long_file(job: Job) -> Job:
    """One file of ``seconds``, which repeats the speech; it is written first."""
    import soundfile

    import thymos

    minute, _ = soundfile.read(job["speech"], dtype="int16")
    with soundfile.SoundFile(job["file"], "w", RATE_HZ, 1, "PCM_16") as file:
        while file.frames < job["seconds"] * RATE_HZ:
            file.write(minute[: round(job["seconds"] * RATE_HZ) - file.frames])
    recognizer = thymos.load(job["model"], 1)
    took = repeated(lambda turn: recognizer.predict(job["file"]), {"budget_s": 0, "least": 1})
    Path(job["file"]).unlink()
    return took | {"sound_s": [job["seconds"]], "note": f"{took['wall_s'][0]:.1f} s in all"}


def make_clips(job: Job) -> Job:
    """Write recordings of ``paths`` as 44.1 kHz FLAC to ``folder``, ``least_s`` seconds of them, and their beginning
    as one WAV file. The order is random and always the same; recordings that do not suffice are taken again.
    """
    import numpy as np
    import soundfile

    import thymos
    from thymos.audio import read_waveform, resample
    from thymos.cli.inputs import find_recordings

    folder = Path(job["folder"])
    sources = [str(found.path) for found in find_recordings(job["paths"]) if found.problem is None and found.path]
    if not sources:
        raise SystemExit("no recordings are there to measure with")
    random.Random(0).shuffle(sources)
    files: list[str] = []
    speech: list[Any] = []
    total = 0
    for source in itertools.cycle(sources):
        samples = resample(read_waveform(Path(source)), RATE_HZ).samples[: round(LONGEST_CLIP_S * RATE_HZ)]
        files.append(str(folder / f"{len(files):04d}.flac"))
        soundfile.write(files[-1], np.clip(samples, -1, 1), RATE_HZ, "PCM_16")
        if total < JOINED_S * RATE_HZ:
            speech.append(samples)
        total += len(samples)
        if total >= job["least_s"] * RATE_HZ:
            break
    soundfile.write(folder / "speech.wav", np.clip(np.concatenate(speech), -1, 1), RATE_HZ, "PCM_16")
    recognizer = thymos.load(job["model"], 1)
    spoken = next((file for file in files[:10] if recognizer.predict(file).emotion is not None), None)
    if spoken is None:
        raise SystemExit("nobody speaks in the recordings to measure with")
    model = {"model": str(recognizer.bundle.folder), "name": recognizer.name}
    return {"files": files, "spoken": spoken, "speech": str(folder / "speech.wav")} | model


JOBS = (thymos_files, vad_files, opensmile_files, network_files, save_network, answer, stream, long_file, make_clips)

if __name__ == "__main__":
    job = next(job for job in JOBS if job.__name__ == sys.argv[1])
    print(json.dumps(job(json.loads(sys.argv[2]))))
