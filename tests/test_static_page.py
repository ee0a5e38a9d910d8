"""The static page in Chromium: it says what Python says of the same files, and asks nobody anything."""

import base64
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample
from thymos.audio.decode import Waveform
from thymos.runtime.formats import Columns, csv_lines, srt, textgrid, web_vtt
from thymos.runtime.recognizer import Recognizer, load

pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).parents[1]
BUILD = REPOSITORY / "examples" / "web" / "build.py"
INSTALLED = REPOSITORY / "build" / "web-modules" / "node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(
        not INSTALLED.is_dir() and not (os.environ.get("THYMOS_TEST_INSTALL") and shutil.which("npm")),
        reason="needs onnxruntime-web: make web",
    ),
]
PATIENT_MS = 120_000
CLOSE = 1e-3


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The page, built once."""
    out = tmp_path_factory.mktemp("static") / "web"
    modules = ["--modules", str(INSTALLED)] if INSTALLED.is_dir() else []
    done = subprocess.run([sys.executable, str(BUILD), "--out", str(out), *modules], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def recognizer(built: Path) -> Recognizer:
    return load(built / "model")


@pytest.fixture(scope="module")
def recordings(mini: Path, tmp_path_factory) -> dict[str, Path]:
    """Short, long, in pauses, faint, silent and stereo sound, at the model's rate."""
    folder = tmp_path_factory.mktemp("recordings")
    clips = [resample(read_waveform(path), 16_000).samples for path in sorted(mini.glob("*/*.opus"))]
    pause = np.zeros(12_000, np.float32)
    noise = np.random.default_rng(0).normal(0, 1e-4, 24_000).astype(np.float32)
    sounds = {
        "clip": clips[0],
        "pauses": np.concatenate([part for clip in clips[::17] for part in (clip, pause)])[: 25 * 16_000],
        "long": np.concatenate([part for clip in clips[::9] for part in (clip, pause)])[: 41 * 16_000 + 777],
        "bit": clips[3][4_000:13_000],
        "quiet": clips[5] * 1e-3,
        "noise": noise,
        "stereo": np.stack([clips[7], clips[7] * 0.25], axis=1),
    }
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    return {name: folder / f"{name}.wav" for name in sounds}


@pytest.fixture(scope="module")
def microphone(mini: Path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    samples = resample(read_waveform(next(iter(sorted(mini.glob("*/*.opus"))))), 48_000).samples
    soundfile.write(path, np.concatenate([samples] * 3), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def site(built: Path) -> Iterator[str]:
    """Plain files, as any host gives them."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def asked() -> list[str]:
    return []


@pytest.fixture(scope="module")
def page(site: str, microphone: Path, asked: list[str]) -> Iterator[Page]:
    options = [
        "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required", f"--use-file-for-fake-audio-capture={microphone}",
    ]  # fmt: skip
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        context = browser.new_context(locale="en-GB", accept_downloads=True, viewport={"width": 1200, "height": 900})
        context.set_default_timeout(PATIENT_MS)
        opened = context.new_page()
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        context.on("request", lambda request: asked.append(request.url))
        opened.goto(site)
        opened.wait_for_selector("html[data-ready]")
        yield opened
        browser.close()
    assert not complaints
    assert asked and all(url.startswith((site, f"blob:{site}")) for url in asked), "nothing is asked of anybody else"


def heard_in_browser(page: Page, path: Path, labels: list[str] | None = None) -> dict[str, Any]:
    code = """async ([content, labels]) => {
        const { predict } = await import("./page/server.js");
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        return predict(new Blob([bytes]), { model: "thymos", labels });
    }"""
    content = base64.b64encode(path.read_bytes()).decode()
    [row] = page.evaluate(code, [content, labels and ",".join(labels)])
    told: dict[str, Any] = row
    return told


def check_alike(said: dict[str, Any], expected: dict[str, Any]) -> None:
    for key in ("emotion", "prediction_set", "flags", "model"):
        assert said[key] == expected[key], key
    assert said["speech_s"] == pytest.approx(expected["speech_s"], abs=CLOSE)
    assert said["duration_s"] == pytest.approx(expected["duration_s"], abs=CLOSE)
    if expected["probabilities"] is None:
        assert said["probabilities"] is None
    else:
        assert said["probabilities"] == pytest.approx(expected["probabilities"], abs=CLOSE)
    assert said.get("shares") == (None if "shares" not in expected else pytest.approx(expected["shares"], abs=CLOSE))
    assert said.get("long") == expected.get("long")
    assert [at["emotion"] for at in said["timeline"]] == [at["emotion"] for at in expected["timeline"]]
    for at, other in zip(said["timeline"], expected["timeline"], strict=True):
        for key in ("start_s", "end_s", "probability"):
            assert at[key] == pytest.approx(other[key], abs=CLOSE), key


@pytest.mark.parametrize("name", ["clip", "pauses", "long", "bit", "quiet", "noise", "stereo"])
def test_it_says_what_python_says(page, recognizer, recordings, asked, name):
    before = len(asked)
    said = heard_in_browser(page, recordings[name])
    check_alike(said, recognizer.predict(recordings[name], timeline=True).to_dict())
    assert [url for url in asked[before:] if not url.startswith("blob:")] == [], "hearing asks for nothing"


def test_of_other_labels_too(page, recognizer, recordings):
    labels = ["sadness", "anger"]
    said = heard_in_browser(page, recordings["pauses"], labels)
    check_alike(said, recognizer.predict(recordings["pauses"], timeline=True, labels=labels).to_dict())


def test_files_to_take_along_are_those_of_the_command_line(page, recognizer, recordings):
    heard = recognizer.predict(recordings["pauses"], timeline=True)
    row = {"file": 'a "b", c.wav', **heard.to_dict()}
    code = """async ([row, labels]) => {
        const formats = await import("./page/formats.js");
        return [formats.textgrid(row), formats.srt(row), formats.vtt(row), formats.csv(row, labels)];
    }"""
    written = page.evaluate(code, [row, list(recognizer.labels)])
    assert written == [textgrid(row), srt(row), web_vtt(row), csv_lines([row], Columns(recognizer.labels))]


def test_a_file_is_chosen_shown_and_taken_along(page, recordings):
    page.set_input_files("#files", [str(recordings["pauses"])])
    page.wait_for_selector(".stretches li")
    assert page.locator("#rows tr").count() == 1
    assert page.locator(".explain").is_hidden()
    with page.expect_download() as taken:
        page.click("#export-one [data-export=textgrid]")
    assert Path(taken.value.path()).read_text("utf-8").startswith('File type = "ooTextFile"')
    keep_screenshots(page)


def test_what_is_no_sound_is_told(page):
    page.set_input_files("#files", {"name": "no.wav", "mimeType": "audio/wav", "buffer": b"RIFF no"})
    page.wait_for_selector("#rows td.problem")
    assert "cannot decode" in page.inner_text("#rows td.problem")


def test_the_microphone_is_heard_live(page):
    page.click("#listen")
    page.wait_for_function("document.querySelector('#live-bars .number')?.textContent")
    shares = page.locator("#live-bars .number").all_inner_texts()
    assert sum(map(float, shares)) == pytest.approx(1, abs=0.05)
    page.click("#listen")


def test_a_live_rate_is_resampled_as_by_soxr(page):
    seconds = np.arange(48_000) / 48_000
    sound = (0.3 * np.sin(2 * np.pi * 440 * seconds) + 0.2 * np.sin(2 * np.pi * 5_000 * seconds)).astype(np.float32)
    code = """async (samples) => {
        const { Resampler } = await import("./page/resampler.js");
        const resampler = new Resampler(48000, 16000), out = [];
        for (let at = 0; at < samples.length; at += 1024) out.push(...resampler.push(Float32Array.from(samples.slice(at, at + 1024))));
        return out;
    }"""  # noqa: E501
    out = np.array(page.evaluate(code, sound.tolist()))
    expected = resample(Waveform(sound, 48_000), 16_000).samples
    assert len(out) > 15_800
    np.testing.assert_allclose(out[200:], expected[200 : len(out)], atol=1e-4)


@pytest.mark.parametrize(
    ("rate_hz", "suffix"), [(44_100, "wav"), (22_050, "flac"), (8_000, "wav"), (48_000, "ogg"), (16_000, "mp3")]
)
def test_sound_of_any_rate_is_heard_as_python_hears_it(page, recognizer, mini, tmp_path, rate_hz, suffix):
    clip = sorted(mini.glob("*/*.opus"))[12]
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, resample(read_waveform(clip), rate_hz).samples, rate_hz)
    said, expected = heard_in_browser(page, path), recognizer.predict(path)
    assert said["probabilities"] == pytest.approx(expected.probabilities, abs=CLOSE)


def test_a_model_of_numpy_s_arrays_is_read_as_numpy_reads_it(page, built):
    code = """async () => {
        const { readNpz } = await import("./page/arrays.js");
        const arrays = readNpz(new Uint8Array(await (await fetch("model/head.npz")).arrayBuffer()));
        return Object.fromEntries(Object.entries(arrays).map(([name, { shape, values }]) => [name, [shape, Array.from(values.slice(-3))]]));
    }"""  # noqa: E501
    said = page.evaluate(code)
    with np.load(built / "model" / "head.npz") as arrays:
        assert said == {name: [list(arrays[name].shape), arrays[name].ravel()[-3:].tolist()] for name in arrays.files}


def keep_screenshots(page: Page) -> None:
    """Keep pictures for people to look at where ``THYMOS_SCREENSHOTS`` names a folder: dark, light, phone."""
    folder = os.environ.get("THYMOS_SCREENSHOTS")
    if not folder:
        return
    for name, scheme, width in (("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 850})
        page.wait_for_timeout(500)
        page.screenshot(path=f"{folder}/static-{name}.png", full_page=True)
