"""How fast networks of the published shapes hear files in torch: float32, random weights, a whole file at once.

python -m thymos.bench.torch_peers '{"shape": "wavlm-large", "files": […], "budget_s": 10, "least": 3, "threads": 1}'
"""

from pathlib import Path
from typing import Any

import torch

from thymos.audio import read_waveform, resample
from thymos.bench.published_shapes import RATE_HZ, SHAPES, SpeechTransformer
from thymos.bench.timing import run_as_job, time_files


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Time decoding, resampling and network."""
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    network = SpeechTransformer(SHAPES[job["shape"]]).eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())

    def hear(files: list[Path]) -> None:
        with torch.inference_mode():
            for file in files:
                network(torch.from_numpy(resample(read_waveform(file), RATE_HZ).samples)[None])

    note = f"random weights, {parameters / 1e6:.0f} million parameters, float32, torch {torch.__version__}"
    return time_files(hear, job) | {"note": note}


if __name__ == "__main__":
    run_as_job(main)
