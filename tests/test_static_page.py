"""The static page in Chromium: it says what Python says of the same files, and asks nobody anything."""

import base64
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample
from thymos.audio.decode import Waveform
from thymos.audio.excerpt import part_name
from thymos.audio.mixing import Mixer
from thymos.live.smoothing import Smoother
from thymos.runtime.formats import Columns, csv_lines, srt, textgrid, web_vtt
from thymos.runtime.recognizer import Recognizer, load

pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
from playwright.sync_api import Download, Page, sync_playwright

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
    hall = np.random.default_rng(1).normal(0, 0.02, 9 * 16_000).astype(np.float32)
    ends = [clips[2], clips[-2]]
    sounds = {
        "clip": clips[0],
        "pauses": np.concatenate([part for clip in clips[::17] for part in (clip, pause)])[: 9 * 16_000],
        "long": np.concatenate([part for clip in clips[::9] for part in (clip, pause)])[: 41 * 16_000 + 777],
        "bit": clips[3][4_000:13_000],
        "quiet": clips[5] * 1e-3,
        "noise": noise,
        "stereo": np.stack([clips[7], clips[7] * 0.25], axis=1),
        "call": np.stack([end[: min(map(len, ends))] for end in ends], axis=1),
        "inverted": np.stack([clips[8], -0.9 * clips[8]], axis=1) + np.float32(0.05),
        "hall": hall + np.resize(np.concatenate([clips[4], pause]), len(hall)),
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


@pytest.fixture
def fresh(page: Page) -> Page:
    """The page without recordings and with no option chosen."""
    page.evaluate(
        """() => {
        const find = (id) => document.getElementById(id);
        find("clear").click();
        find("options").open = false;
        find("channels").value = "mix";
        find("vad").value = find("shortest").value = "";
        find("model").dispatchEvent(new Event("change"));
    }"""
    )
    return page


def rows_in_browser(page: Page, path: Path, **choice: Any) -> list[dict[str, Any]]:
    code = """async ([content, choice]) => {
        const { predict } = await import("./page/server.js");
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const none = { labels: null, channels: null, speakers: null, vad_threshold: null, shortest: null };
        return predict(new Blob([bytes]), { model: "thymos", ...none, ...choice });
    }"""
    rows: list[dict[str, Any]] = page.evaluate(code, [base64.b64encode(path.read_bytes()).decode(), choice])
    return rows


def heard_in_browser(page: Page, path: Path, **choice: Any) -> dict[str, Any]:
    [row] = rows_in_browser(page, path, **choice)
    return row


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


@pytest.mark.parametrize("name", ["clip", "pauses", "long", "bit", "quiet", "noise", "stereo", "call", "inverted"])
def test_it_says_what_python_says(page, recognizer, recordings, asked, name):
    before = len(asked)
    said = heard_in_browser(page, recordings[name])
    check_alike(said, recognizer.predict(recordings[name], timeline=True).to_dict())
    assert [url for url in asked[before:] if not url.startswith("blob:")] == [], "hearing asks for nothing"


def mixtures() -> dict[str, tuple[np.ndarray, set[str]]]:
    """Sounds at 8 kHz, shape ``(samples, channels)``, each with what is to be remarked on it."""
    one, other = np.random.default_rng(2).normal(0, 0.1, (2, 8_000, 1)).astype(np.float32)
    louder = np.clip(12 * one, -1, 1)
    return {
        "alike": (np.hstack([one, one]), set()),
        "call": (np.hstack([one, other]), {"mixed_channels"}),
        "upside down": (np.hstack([one, -0.9 * one]), {"inverted_channel"}),
        "half of three": (np.hstack([one, -0.5 * one, other]), {"mixed_channels"}),
        "one side": (np.hstack([one, 0 * one]), {"silent_channel"}),
        "offset": (one + np.float32(0.05), {"offset"}),
        "offset in the mean": (np.hstack([one + np.float32(0.1), one]), {"offset"}),
        "clipped": (louder, {"clipped"}),
        "single peaks": (np.where(np.abs(one) > 0.38, np.sign(one), one), set()),
        "integers": (one * np.float32(32_768), {"rescaled"}),
        "long integers": (np.hstack([one, other]) * np.float32(2**31), {"rescaled", "mixed_channels"}),
    }


@pytest.mark.parametrize("name", mixtures())
def test_channels_are_mixed_as_python_mixes_them(page, name):
    sound, remarks = mixtures()[name]
    code = """async ([channels, channel, silence]) => {
        const { mixed } = await import("./page/mixing.js");
        const own = channels.map((each) => { const all = new Float32Array(silence + each.length); all.set(each, silence); return all; });
        const { samples, remarks } = mixed({ rate: 8000, channels: own }, channel);
        return [remarks, Array.from(samples.slice(-8000))];
    }"""  # noqa: E501
    # A beginning that is silent decides nothing.
    for channel, silence in (("mix", 0), ("mix", 31 * 8_000), *((n, 0) for n in range(1, sound.shape[1] + 1))):
        mixer = Mixer(sound.shape[1], 8_000, channel, centred=True)
        blocks = np.split(np.vstack([np.zeros((silence, sound.shape[1]), np.float32), sound]), [30 * 8_000])
        expected = np.concatenate(list(mixer.mono(iter(blocks))))
        said, samples = page.evaluate(code, [sound.T.tolist(), channel, silence])
        assert said == sorted(mixer.remarks)
        np.testing.assert_allclose(samples, expected[-8_000:], atol=1e-6)
        assert channel != "mix" or silence or set(said) == remarks


def test_what_is_no_sample_is_said(page):
    code = """async (value) => {
        const { mixed } = await import("./page/mixing.js");
        const sound = { rate: 8000, channels: [Float32Array.of(0, value)] };
        try { mixed(sound, "mix"); } catch (error) { return error.message; }
    }"""
    assert page.evaluate(code, float("nan")) == "holds samples that are NaN or infinite"
    assert page.evaluate(code, 1e20) == "holds samples as large as 1e+20, where full scale is 1"


def test_of_other_labels_too(page, recognizer, recordings):
    labels = ["sadness", "anger"]
    said = heard_in_browser(page, recordings["pauses"], labels="sadness,anger")
    check_alike(said, recognizer.predict(recordings["pauses"], timeline=True, labels=labels).to_dict())


@pytest.mark.parametrize(
    ("name", "threshold", "shortest"),
    [("hall", 0.9, None), ("hall", 0.15, 0), ("pauses", None, 2.5), ("pauses", 0.8, 4)],
)
def test_with_another_threshold_and_another_shortest_stretch(page, recognizer, recordings, name, threshold, shortest):
    expected = recognizer.tuned(threshold, shortest).predict(recordings[name], timeline=True)
    as_it_is = recognizer.predict(recordings[name], timeline=True)
    assert (expected.speech_s, expected.timeline.stretches) != (as_it_is.speech_s, as_it_is.timeline.stretches)
    check_alike(
        heard_in_browser(page, recordings[name], vad_threshold=threshold, shortest=shortest), expected.to_dict()
    )


@pytest.mark.parametrize("name", ["call", "inverted", "clip"])
def test_each_channel_is_heard_as_the_command_line_hears_it(page, built, thymos_here, recordings, name):
    words = ["predict", recordings[name], "--model", built / "model", "--channels", "split", "--timeline"]
    expected = [json.loads(line) for line in thymos_here(*words, "--format", "jsonl").stdout.splitlines()]
    rows = rows_in_browser(page, recordings[name], channels="split")
    assert [row.get("channel") for row in rows] == [row.get("channel") for row in expected]
    assert [row["file"] for row in rows] == [row["file"].replace(str(recordings[name]), "-") for row in expected]
    for row, other in zip(rows, expected, strict=True):
        check_alike(row, other)
        assert row.keys() - {"windows"} == other.keys()
    assert rows_in_browser(page, recordings[name], channels=1)[0]["probabilities"] == rows[0]["probabilities"]


def test_files_to_take_along_are_those_of_the_command_line(page, recognizer, recordings):
    heard = recognizer.predict(recordings["pauses"], timeline=True)
    row = {"file": 'a "b", c.wav', **heard.to_dict()}
    code = """async ([row, labels]) => {
        const formats = await import("./page/formats.js");
        return [formats.textgrid(row), formats.srt(row), formats.vtt(row), formats.csv([row], labels)];
    }"""
    written = page.evaluate(code, [row, list(recognizer.labels)])
    assert written == [textgrid(row), srt(row), web_vtt(row), csv_lines([row], Columns(recognizer.labels))]


def test_they_are_in_the_odd_cases_too(page):
    """Probabilities right between two, words with signs that a format forbids, names that a spreadsheet would run."""
    labels = ['a "b" <c>', "b"]
    rows = [
        {
            "file": name, "emotion": labels[0], "probabilities": {labels[0]: p, "b": 1 - p}, "prediction_set": labels,
            "speech_s": 4.0, "duration_s": 5.0, "flags": [], "model": "thymos 6",
            "timeline": [
                {"start_s": 0.0, "end_s": 0.3, "emotion": labels[0], "probability": p},
                {"start_s": 0.3, "end_s": 5.0, "emotion": "b", "probability": 1 - p},
            ],
        }
        for name, p in zip(["'=1", "\n=1", "@b", "-#channel=2"], [0.125, 0.375, 0.005, 0.285], strict=True)
    ]  # fmt: skip
    code = """async ([rows, labels]) => {
        const formats = await import("./page/formats.js");
        return [rows.map(formats.textgrid), rows.map(formats.srt), rows.map(formats.vtt), formats.csv(rows, labels)];
    }"""
    written = page.evaluate(code, [rows, labels])
    each = [[write(row) for row in rows] for write in (textgrid, srt, web_vtt)]
    assert written == [*each, csv_lines(rows, Columns(labels))]
    names = ["call.wav", "talk.wav#t=0.5,2", "talk.wav#channel=1", "odd#t.wav"]
    named = """async (names) => {
        const { channelName } = await import("./page/formats.js");
        return names.map((name) => channelName(name, 2));
    }"""
    assert page.evaluate(named, names) == [part_name(name, "channel", 2) for name in names]


def test_a_file_is_chosen_shown_and_taken_along(fresh, recordings):
    fresh.set_input_files("#files", [str(recordings["pauses"])])
    fresh.wait_for_selector(".stretches li")
    assert fresh.locator("#rows tr").count() == 1
    with fresh.expect_download() as taken:
        fresh.click("#export-one [data-export=textgrid]")
    assert Path(taken.value.path()).read_text("utf-8").startswith('File type = "ooTextFile"')
    keep_screenshots(fresh)


def taken(page: Page, button: str, count: int = 1) -> dict[str, str]:
    """Return what is taken along by ``button``, by the names of the files."""
    downloads: list[Download] = []

    def take(download: Download) -> None:
        downloads.append(download)

    page.on("download", take)
    page.click(button)
    end_s = time.monotonic() + PATIENT_MS / 1000
    while len(downloads) < count and time.monotonic() < end_s:
        page.wait_for_timeout(50)
    page.remove_listener("download", take)
    return {each.suggested_filename: Path(each.path()).read_text("utf-8") for each in downloads}


def test_what_it_cannot_do_is_not_offered(fresh, recordings):
    fresh.set_input_files("#files", recordings["clip"])
    fresh.wait_for_selector(".stretches li")
    assert fresh.locator(".explain").count() == 0
    values = fresh.locator("#channels option").evaluate_all("options => options.map(option => option.value)")
    assert values == ["mix", "split"]


def test_labels_are_chosen_by_their_boxes(fresh, recognizer, recordings):
    fresh.set_input_files("#files", recordings["pauses"])
    fresh.wait_for_selector(".stretches li")
    fresh.click("#options summary")
    kept = ["happiness", "sadness"]
    for label in recognizer.labels:
        if label not in kept:
            fresh.uncheck(f"#labels input[value={label}]")
    expected = recognizer.predict(recordings["pauses"], timeline=True, labels=kept)
    row = json.loads(taken(fresh, "#export-one [data-export=json]")["pauses.jsonl"])
    check_alike({**row, "windows": []}, expected.to_dict())
    cells = fresh.locator("#rows tr").first.locator("td")
    assert cells.nth(1).text_content() == expected.emotion
    assert float(cells.nth(2).text_content() or "") == pytest.approx(max(expected.probabilities.values()), abs=0.006)
    [table] = taken(fresh, "#export-all [data-export=csv]").values()
    assert table.splitlines()[0] == csv_lines([], Columns(kept)).strip()
    fresh.click("#labels input[value=sadness]")
    assert fresh.inner_text("#problem") == "At least two are needed."
    assert fresh.is_checked("#labels input[value=sadness]")


def test_channels_threshold_and_shortest_stretch_are_chosen(fresh, built, thymos_here, recordings):
    fresh.set_input_files("#files", recordings["call"])
    fresh.wait_for_selector(".stretches li")
    fresh.click("#options summary")
    fresh.select_option("#channels", "split")
    fresh.fill("#vad", "0.8")
    fresh.fill("#shortest", "1.2")
    fresh.press("#shortest", "Enter")
    fresh.wait_for_function("document.querySelectorAll('.part').length === 2")
    words = ["predict", recordings["call"], "--model", built / "model", "--channels", "split", "--timeline"]
    told = thymos_here(*words, "--vad-threshold", "0.8", "--shortest", "1.2", "--format", "jsonl").stdout
    expected = [json.loads(line) for line in told.splitlines()]
    assert fresh.locator("#rows tr td:first-child").all_inner_texts() == [
        "call.wav · channel 1",
        "call.wav · channel 2",
    ]
    lines = taken(fresh, "#export-one [data-export=json]")["call.jsonl"].splitlines()
    rows = [json.loads(line, parse_int=float) for line in lines]  # JavaScript writes 0.0 as 0
    assert [row["file"] for row in rows] == ["call.wav#channel=1", "call.wav#channel=2"]
    for row, other in zip(rows, expected, strict=True):
        check_alike(row, other)
        assert list(row) == list(other)
    for kind, suffix, write in (("textgrid", "TextGrid", textgrid), ("srt", "srt", srt), ("vtt", "vtt", web_vtt)):
        files = taken(fresh, f"#export-one [data-export={kind}]", 2)
        assert files == {f"call.channel{n}.{suffix}": write(row) for n, row in enumerate(rows, 1)}
    [table] = taken(fresh, "#export-all [data-export=csv]").values()
    assert table == csv_lines(rows, Columns(load(built / "model").labels))
    keep_screenshots(fresh, "channels")


def test_what_is_no_sound_is_told(fresh):
    fresh.set_input_files("#files", {"name": "no.wav", "mimeType": "audio/wav", "buffer": b"RIFF no"})
    fresh.wait_for_selector("#rows td.problem")
    assert "cannot decode" in fresh.inner_text("#rows td.problem")


def test_live_windows_are_those_of_python_s_stream(page, recognizer, recordings):
    threshold = 0.8
    samples, _ = soundfile.read(recordings["pauses"], dtype="float32")
    samples = np.concatenate([np.zeros(20_000, np.float32), samples[: 5 * 16_000]])
    code = """async ([samples, session]) => {
        const { stream } = await import("./page/server.js"), told = [];
        let heard = () => {};
        const line = stream(session, (event) => { told.push(event); heard(); }, () => {});
        for (let at = 0; at < samples.length; at += 4000) {
            const event = new Promise((done) => { heard = done; });
            line.send(Float32Array.from(samples.slice(at, at + 4000)));
            if (at + 4000 >= 24000) await event;
        }
        line.end();
        return told;
    }"""
    session = {
        "rate": 16_000,
        "window": 1.5,
        "hop": 0.25,
        "smoothing": 3,
        "model": "thymos",
        "vad_threshold": threshold,
    }
    told = page.evaluate(code, [samples.tolist(), session])
    stream, smoother = recognizer.tuned(threshold).stream(16_000, 1.5, 0.25), Smoother(recognizer.labels, 3)
    expected = [smoother.take(window).to_dict() for window in stream.feed(samples)]
    assert len(told) == len(expected) > 15
    assert len({row["start_s"] % 0.25 for row in expected}) > 1, "a silence is left out"
    for event, other in zip(told, expected, strict=True):
        for key in ("start_s", "end_s", "speech_s"):
            assert event[key] == pytest.approx(other[key], abs=CLOSE)
        for said, by_python in ((event, other), (event["smoothed"], other["smoothed"])):
            assert said["emotion"] == by_python["emotion"]
            alike = by_python["probabilities"] and pytest.approx(by_python["probabilities"], abs=CLOSE)
            assert said["probabilities"] == alike


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


def keep_screenshots(page: Page, what: str = "file") -> None:
    """Keep pictures for people to look at where ``THYMOS_SCREENSHOTS`` names a folder: dark, light, phone."""
    folder = os.environ.get("THYMOS_SCREENSHOTS")
    if not folder:
        return
    for name, scheme, width in (("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 850})
        page.wait_for_timeout(500)
        page.screenshot(path=f"{folder}/static-{what}-{name}.png", full_page=True)
    page.set_viewport_size({"width": 1200, "height": 900})
