from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from thymos.audio import Waveform
from thymos.cli import app
from thymos.cnn.front_end import LogMel, PowerSpectrogram
from thymos.errors import AudioError, ThymosError
from thymos.reports.sound_figure import MOST_COLUMNS, draw_sound, mean_power, mel_spectrogram, sound_figure

PNG = b"\x89PNG\r\n\x1a\n"


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)


@pytest.mark.slow
def test_show_writes_a_png_beside_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "λύπη [red] $x$.wav", noise(8_000), 16_000)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["show", "sounds/λύπη [red] $x$.wav"])
    assert result.exit_code == 0
    assert result.stdout.strip() == "λύπη [red] $x$.show.png"
    assert (tmp_path / "λύπη [red] $x$.show.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_show_writes_where_it_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(44_100), 44_100)
    out = tmp_path / "figures" / "a.png"
    assert draw_sound(tmp_path / "a.wav", out) == [out]
    assert out.read_bytes().startswith(PNG)


def test_unreadable_file_is_named_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.wav").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError, match=r"^clip\.wav: is empty \(0 bytes\)$"):
        draw_sound(Path("clip.wav"))
    assert list(tmp_path.iterdir()) == [tmp_path / "clip.wav"]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThymosError, match=r"a\.jpg: figures are written as png, pdf, svg, so its name must end so"):
        draw_sound(tmp_path / "a.wav", tmp_path / "a.jpg")


@pytest.mark.slow
def test_formats_are_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", noise(8_000), 16_000)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["show", "a.wav", "--figures", "SVG, pdf"])
    assert result.stdout.split() == ["a.show.svg", "a.show.pdf"]
    assert Path("a.show.pdf").read_bytes().startswith(b"%PDF") and b"<svg" in Path("a.show.svg").read_bytes()
    assert [path.name for path in draw_sound(Path("a.wav"), Path("b.PDF"), ("png", "pdf"))] == ["b.PDF", "b.png"]


@pytest.mark.parametrize(
    ("rate_hz", "samples"),
    [
        (1_000, 20_000),
        (8_000, 1),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((8_000, 500), (96_000, 1), (96_000, 20_000))),
    ],
)
def test_any_rate_and_length_is_drawn(rate_hz: int, samples: int) -> None:
    sound_figure(Waveform(noise(samples), rate_hz), "any").draw_without_rendering()


@pytest.mark.slow
def test_silence_is_drawn() -> None:
    sound_figure(Waveform(np.zeros(4_000, np.float32), 8_000), "silence").draw_without_rendering()


def test_short_sound_shows_what_the_front_end_gives() -> None:
    samples = noise(3 * 44_100)
    expected = LogMel(44_100)(torch.from_numpy(samples)[None])[0].numpy()
    spectrogram, span_s = mel_spectrogram(Waveform(samples, 44_100))
    np.testing.assert_allclose(spectrogram, expected, atol=1e-3)
    assert span_s == pytest.approx(3, abs=0.03)


def test_long_sound_is_averaged_to_few_columns() -> None:
    samples = noise(90 * 8_000)
    spectrum = mean_power(samples, n_fft=256, hop=32, rate_hz=8_000)
    whole = PowerSpectrogram(256, 32)(torch.from_numpy(samples)[None])[0]
    per_column = -(-whole.shape[1] // MOST_COLUMNS)
    assert spectrum.power.shape[1] <= MOST_COLUMNS
    for column in (0, 1, 700, spectrum.power.shape[1] - 1):
        frames = whole[:, column * per_column : (column + 1) * per_column]
        expected = frames.mean(dim=1).numpy()
        np.testing.assert_allclose(spectrum.power[:, column], expected, rtol=1e-3, atol=1e-5)


def test_a_file_that_cannot_be_read_is_an_input_that_could_not_be_used(thymos_here, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for name in ("a.wav", "absent.wav"):
        done = thymos_here("show", name)
        assert done.returncode == 1 and done.stderr.startswith(f"thymos: {name}") and done.stderr.count("\n") == 1
