"""``thymos predict --explain``: a figure for each recording that is heard, and one sentence where that cannot be."""

import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from thymos.cli import app
from thymos.reports.explanation_figure import explanation_figure, write_explanation
from thymos.runtime.explain import Evidence, ExplainedPart, explain_part

WITHOUT_MATPLOTLIB = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv[0] = 'thymos'
from thymos.cli import main
main()
"""
WITHOUT_TORCH = WITHOUT_MATPLOTLIB.replace('== "matplotlib"', 'in ("torch", "pandas", "scipy", "librosa", "sklearn")')


def run(code: str, *words: str | Path, **kept: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, "predict", *map(str, words)], capture_output=True, text=True, **kept
    )


@pytest.fixture
def sounds(mini: Path, tmp_path: Path) -> Path:
    """Two recordings of one name, of somebody who speaks; one of nobody; one that is no recording."""
    clips = sorted(mini.glob("*/*"))
    for place, clip in (("a", clips[0]), ("b", clips[40])):
        (tmp_path / "sounds" / place).mkdir(parents=True)
        shutil.copy(clip, tmp_path / "sounds" / place / "$x$ [1].opus")
    soundfile.write(tmp_path / "sounds" / "silence.wav", np.zeros(16_000), 16_000)
    (tmp_path / "sounds" / "bad.wav").write_bytes(b"RIFF")
    return tmp_path / "sounds"


@pytest.mark.slow
def test_figures_are_drawn_without_torch(bundle, sounds, tmp_path):
    out = tmp_path / "figures"
    words = [sounds / "a" / "$x$ [1].opus", sounds / "b" / "$x$ [1].opus", sounds / "silence.wav", sounds / "bad.wav"]
    done = run(WITHOUT_TORCH, *words, "--model", bundle, "--format", "jsonl", "--explain", "--explain-out", out)
    assert done.returncode == 1, "one file is bad"
    names = {path.name for path in out.iterdir()}
    assert names == {"$x$ [1].opus.explain.png", "$x$ [1].opus.2.explain.png"}
    for name in names:
        assert f"drawn: {out / name}" in done.stderr
        image = matplotlib.image.imread(out / name)
        assert image.shape[0] > 800 and image.shape[1] > 1500 and image.std() > 0.05
    assert done.stdout.count("\n") == 4, "results are printed as without the option"


@pytest.mark.slow
def test_a_folder_keeps_its_shape(bundle, sounds, tmp_path, monkeypatch):
    (sounds / "bad.wav").unlink()
    drawn: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "thymos.reports.explanation_figure.write_explanation",
        lambda explanation, name, stem, formats: (
            drawn.extend((name, f"{stem.relative_to(tmp_path / 'out')}.{each}") for each in formats) or []
        ),
    )
    words = [
        "predict",
        str(sounds),
        "--model",
        str(bundle),
        "--explain-out",
        str(tmp_path / "out"),
        "--figures",
        "png,svg",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert drawn == [
        ("$x$ [1].opus", f"{folder}/$x$ [1].opus.explain.{each}") for folder in "ab" for each in ("png", "svg")
    ]


@pytest.mark.slow
def test_what_cannot_be_is_one_sentence(bundle, sounds, tmp_path):
    clip = sounds / "a" / "$x$ [1].opus"
    without = run(WITHOUT_MATPLOTLIB, clip, "--model", bundle, "--explain", cwd=tmp_path)
    assert without.returncode == 2 and without.stdout == ""
    assert without.stderr == "thymos: --explain draws by matplotlib: pip install 'thymos[plots]'\n"
    piped = run(WITHOUT_TORCH, "-", "--model", bundle, "--explain", input="", cwd=tmp_path)
    assert piped.returncode == 2 and piped.stderr.startswith("thymos: --explain reads a recording twice")
    assert not list(tmp_path.glob("*.png"))


def test_the_scale_of_effects_is_no_longer_than_its_figure():
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    evidence = Evidence(np.linspace(0.1, 1.9, 10), np.tile([0.7, 0.3], (10, 1)))
    explanation = explain_part(
        lambda samples: np.array([0.9, 0.1]), ExplainedPart(sound, 16_000), evidence, ("anger", "fear"), None, "toy"
    )
    figure = explanation_figure(explanation, "call.wav")
    figure.draw_without_rendering()
    label = figure.axes[-1].yaxis.label.get_window_extent()
    assert label.height < 1.1 * figure.axes[2].get_window_extent().height


@pytest.mark.slow
def test_the_figure_says_what_it_shows(tmp_path):
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)

    def hear(samples: np.ndarray) -> np.ndarray:
        left = float(np.std(samples[8_000:16_000]) / np.std(sound[8_000:16_000]))
        return np.array([left, 1 - left]) * 0.8 + 0.1

    evidence = Evidence(np.linspace(0.1, 1.9, 10), np.tile([0.7, 0.3], (10, 1)))
    explanation = explain_part(hear, ExplainedPart(sound, 16_000, 5.0), evidence, ("anger", "fear"), None, "toy 7")
    figure = explanation_figure(explanation, "call\n$2.wav")
    frames, regions = figure.axes[1], figure.axes[2]
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "call\N{REPLACEMENT CHARACTER}$2.wav: anger, p = 0.90" in said and "Model: toy 7" in said
    assert regions.get_xlabel() == "time, s" and "Hz" in regions.get_ylabel()
    assert regions.get_xlim() == pytest.approx((5.0, 7.0)) and frames.get_xlim() == regions.get_xlim()
    assert [text.get_text() for text in frames.get_legend().get_texts()] == ["anger", "fear"]
    outlined = np.concatenate([path.vertices for path in regions.collections[-1].get_paths()])
    marked = np.flatnonzero(explanation.marked.any(axis=0))
    assert outlined[:, 0].min() == pytest.approx(explanation.times_s[marked[0]])
    assert outlined[:, 0].max() == pytest.approx(explanation.times_s[marked[-1] + 1])
    write_explanation(explanation, "call.wav", tmp_path / "deep" / "a")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


@pytest.mark.slow
def test_the_legend_has_room_for_the_labels_that_matter():
    """Of twenty, the one explained and those that frames speak for most; no dollar sign is a formula."""
    labels = ("explained", *(rf"$\no{{such}}$ {number}" for number in range(19)))
    shares = np.array([0.01, *np.arange(1, 20)])
    evidence = Evidence(np.linspace(0.1, 1.9, 10), np.tile(shares / shares.sum(), (10, 1)))
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    explanation = explain_part(
        lambda samples: shares / shares.sum(), ExplainedPart(sound, 16_000), evidence, labels, "explained", "toy"
    )
    figure = explanation_figure(explanation, "call.wav")
    figure.draw_without_rendering()
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert named == ["explained", *labels[13:]]
    legend, title = figure.axes[1].get_legend().get_window_extent(), figure.axes[0].texts[1].get_window_extent()
    assert legend.y1 <= title.y0 + 1
