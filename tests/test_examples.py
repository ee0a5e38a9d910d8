"""The examples run as their first lines say."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
from pythonosc.osc_message import OscMessage

from thymos.audio import read_waveform
from thymos.runtime.recognizer import load

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, bundle: Path, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"THYMOS_MODEL": str(bundle)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_folder_to_csv_and_plot(bundle, mini, tmp_path):
    folder = tmp_path / "calls"
    (folder / "more").mkdir(parents=True)
    clips = sorted(mini.glob("*/*"))[::30]
    for number, clip in enumerate(clips):
        shutil.copy(clip, folder / ("more" if number % 2 else "") / f"{number}{clip.suffix}")
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    (folder / "bad.wav").write_bytes(b"RIFF")
    table, figure = tmp_path / "emotions.csv", tmp_path / "emotions.png"
    said = run("folder_to_csv_plot.py", bundle, folder, table, figure)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["file"] for row in rows] == [
        "0.opus", "2.opus", "4.opus", "bad.wav", "more/1.opus", "more/3.opus", "silence.wav"
    ]  # fmt: skip
    heard = load(bundle).predict(folder / "2.opus")
    assert rows[1]["emotion"] == heard.emotion
    assert float(rows[1][f"p_{heard.emotion}"]) == round(heard.probabilities[heard.emotion], 4)
    assert rows[3]["error"] and rows[6]["flags"].split()[-1] == "no_speech" and not rows[6]["emotion"]
    counts = dict(line.rsplit(maxsplit=1) for line in said.splitlines())
    assert counts["not readable:"] == "1" and int(counts["none heard"]) >= 1
    assert sum(map(int, counts.values())) == len(rows)
    pixels = matplotlib.image.imread(figure)[..., :3]
    assert pixels.shape[0] > 200 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5


def test_live_osc(bundle, mini, tmp_path):
    clips = [read_waveform(clip) for clip in sorted(mini.glob("*/*"))[:3]]
    samples = np.concatenate([clip.samples for clip in clips])[: int(4.6 * clips[0].rate_hz)]
    soundfile.write(tmp_path / "said.wav", samples, clips[0].rate_hz)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        said = run("live_osc.py", bundle, "127.0.0.1", receiver.getsockname()[1], tmp_path / "said.wav")
        emotions = []
        while len(emotions) < len(said.splitlines()):
            message = OscMessage(receiver.recv(4096))
            if message.address == "/thymos/smoothed/emotion":
                emotions += message.params
    assert [line.split(maxsplit=2)[0] for line in said.splitlines()] == [
        "1.5",
        "2.0",
        "2.5",
        "3.0",
        "3.5",
        "4.0",
        "4.5",
    ]
    assert emotions == [line.split(" s  ")[1].replace(" heard", "") for line in said.splitlines()]
    assert set(emotions) & {"anger", "disgust", "fear", "happiness", "sadness"}
