"""``thymos embed``: embeddings with the names of their files, in arrays and tables."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thymos.runtime.recognizer import load


@pytest.fixture
def folder(spoken: list[Path], tmp_path: Path) -> Path:
    root = tmp_path / "sounds"
    (root / "more").mkdir(parents=True)
    for number, path in enumerate(spoken[:3]):
        shutil.copy(path, root / ("more" if number == 2 else "") / f"{number}{path.suffix}")
    (root / "bad.wav").write_bytes(b"RIFF")
    return root


@pytest.fixture
def names(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("0.opus", "1.opus", "more/2.opus")]


def test_an_array_with_its_names(bundle, folder, names, tmp_path, thymos_here: Callable):
    done = thymos_here("embed", folder, "--model", bundle, "--out", tmp_path / "x.npy")
    assert done.returncode == 1 and "bad.wav" in done.stderr and "3 of 4 recordings were heard" in done.stderr
    values = np.load(tmp_path / "x.npy")
    rows = list(csv.DictReader((tmp_path / "x.names.csv").open()))
    assert [row["file"] for row in rows] == names and values.dtype == np.float32
    for own, name in zip(values, names, strict=True):
        np.testing.assert_array_equal(own, load(bundle).embed(name))


def test_tables_say_the_same(bundle, folder, names, tmp_path, thymos_here: Callable):
    for suffix in ("csv", "parquet", "npy"):
        done = thymos_here("embed", *names, "--model", bundle, "--out", tmp_path / f"x.{suffix}", "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
    values = np.load(tmp_path / "x.npy")
    in_csv, in_parquet = pd.read_csv(tmp_path / "x.csv"), pd.read_parquet(tmp_path / "x.parquet")
    for table in (in_csv, in_parquet):
        assert table["file"].tolist() == names and table["start_s"].tolist() == [0, 0, 0]
        np.testing.assert_array_equal(table.filter(regex="^e[0-9]+$").to_numpy(np.float32), values)


@pytest.mark.slow
def test_windows_and_statistics(bundle, long_speech, tmp_path, thymos_here: Callable):
    import soundfile

    soundfile.write(tmp_path / "long.wav", long_speech[0][: 40 * long_speech[1]], long_speech[1])
    done = thymos_here(
        "embed", tmp_path / "long.wav", "--windows", "--model", "thymos", "--what", "statistics",
        "--out", tmp_path / "w.parquet",
    )  # fmt: skip
    assert done.returncode == 0
    table = pd.read_parquet(tmp_path / "w.parquet")
    recognizer = load("thymos")
    each = recognizer.embed_windows(tmp_path / "long.wav", "statistics")
    assert len(table) == len(each.values) > 5 and table["end_s"].tolist() == each.end_s.tolist()
    np.testing.assert_array_equal(table.filter(regex="^e[0-9]").to_numpy(), each.values)
    whole = recognizer.embed(tmp_path / "long.wav", "statistics")
    assert whole.shape == each.values[0].shape == recognizer.bundle.hearing.weights.shape[:1]
    spoken = [at.speech_s for at in recognizer.timeline(tmp_path / "long.wav").windows if at.probabilities]
    np.testing.assert_allclose(whole, np.average(each.values, axis=0, weights=spoken), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_is_one_sentence(bundle, folder, names, tmp_path, thymos_here: Callable):
    for words, said in (
        (("--out", "x.txt"), "none of .npy, .parquet, .csv"),
        (("--out", names[0]), "ends in none of"),
    ):
        done = thymos_here("embed", names[0], "--model", bundle, *words)
        assert done.returncode == 2 and said in done.stderr
    assert thymos_here("embed", "-", "--out", "x.csv").returncode == 2
    (tmp_path / "x.csv").write_text("mine")
    kept = thymos_here("embed", names[0], "--model", bundle, "--out", tmp_path / "x.csv")
    assert kept.returncode == 2 and "exists" in kept.stderr and (tmp_path / "x.csv").read_text() == "mine"
