"""The page in a real browser: Debian's Chromium, headless, with a microphone that plays a file."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample
from thymos.runtime.recognizer import load

pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
from chromium import NEEDED, PATIENT_MS
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as ChooserTimeout

pytestmark = NEEDED
expect.set_options(timeout=PATIENT_MS)


@pytest.fixture
def page(browser: Browser, server, request) -> Iterator[Page]:
    """The page, ready; whatever it complains of fails the test."""
    options = getattr(request, "param", {"viewport": {"width": 1200, "height": 900}})
    context = browser.new_context(locale="en-GB", accept_downloads=True, **options)
    context.set_default_timeout(PATIENT_MS)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    elsewhere: list[str] = []
    opened.on("request", lambda asked: elsewhere.append(asked.url))
    opened.goto(server.address)
    opened.wait_for_selector("html[data-ready]")
    yield opened
    shown(opened, request.node.name)
    context.close()
    assert not [complaint for complaint in complaints if "422" not in complaint]
    assert all(url.startswith((server.address, "blob:")) for url in elsewhere), "nothing is loaded from elsewhere"


def shown(page: Page, name: str) -> None:
    """Keep a screenshot where ``THYMOS_SCREENSHOTS`` names a folder, for people to look at."""
    folder = os.environ.get("THYMOS_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name.replace('/', '_')}.png", full_page=True)


def dropped(page: Page, *paths: Path) -> None:
    """Drop files on the page, as a hand would."""
    files = [[path.name, list(path.read_bytes())] for path in paths]
    held = page.evaluate_handle(
        """files => { const held = new DataTransfer();
        for (const [name, bytes] of files) held.items.add(new File([new Uint8Array(bytes)], name)); return held; }""",
        files,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})


def told(thymos_here: Callable, *words) -> dict:
    return json.loads(thymos_here("predict", *words, "--format", "jsonl").stdout)


def test_a_dropped_file_is_shown_with_the_command_line_s_numbers(page, clip, thymos_here):
    with page.expect_response(lambda answer: "/v1/predict" in answer.url) as asked:
        dropped(page, clip)
    row = told(thymos_here, clip, "--timeline")
    answer = asked.value.json()
    assert {key: answer[key] for key in row if key != "file"} == {key: row[key] for key in row if key != "file"}
    cells = page.locator("#rows tr").first.locator("td")
    expect(cells.nth(1)).to_have_text(row["emotion"])
    expect(cells.nth(2)).to_have_text(f"{row['probabilities'][row['emotion']]:.2f}")
    expect(page.locator("#detail-title")).to_have_text(clip.name)
    stretches = [
        f"{at['start_s']:.1f} – {at['end_s']:.1f} s  "
        + (f"{at['emotion']} {at['probability']:.2f}" if at["emotion"] else "none heard")
        for at in row["timeline"]
    ]
    assert [each.text_content() for each in page.locator(".stretches button").all()] == stretches
    colours = page.evaluate(
        """() => { const canvas = document.getElementById("waveform"), pen = canvas.getContext("2d");
        const seen = new Set(), pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
        for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] === 255) seen.add(pixels.slice(i, i + 3).join());
        return [...seen]; }"""
    )
    look = {"anger": "213,94,0", "fear": "204,121,167", "happiness": "232,210,29", "sadness": "0,114,178",
            "disgust": "0,158,115", "neutral": "140,140,140", "surprise": "86,180,233"}  # fmt: skip
    assert look[row["emotion"]] in colours, "the waveform has its emotion's colour"


def test_a_stretch_is_heard_when_it_is_clicked(page, clip):
    dropped(page, clip)
    page.locator(".stretches button").nth(1).click()
    page.wait_for_selector("#player")
    end_s = time.monotonic() + 20
    while page.evaluate("() => document.getElementById('player').currentTime") < 0.3 and time.monotonic() < end_s:
        page.wait_for_timeout(50)
    assert page.evaluate("() => document.getElementById('player').currentTime") >= 0.3


def test_why_is_answered_when_it_is_asked(page, clip):
    dropped(page, clip)
    page.locator(".explain").click()
    expect(page.locator(".explanation-words")).not_to_be_empty()
    explanation = load("thymos").explain(clip)
    expect(page.locator(".explanation-words")).to_contain_text(
        f"from {explanation.probability:.2f} to {explanation.probability_without:.2f}"
    )


def test_several_files_are_a_table_and_can_be_taken_along(page, mini, thymos_here, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound at all")
    clips = [sorted(mini.glob(f"{emotion}/*"))[0] for emotion in ("anger", "sadness")]
    page.set_input_files("#files", [*clips, bad])
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows tr").nth(2)).to_contain_text("is not sound in a known format")
    expect(page.locator("#status")).to_have_text("2 heard, 1 could not be")

    def taken(button: str) -> str:
        with page.expect_download() as download:
            page.click(button)
        return Path(download.value.path()).read_text(encoding="utf-8")

    expected = [told(thymos_here, clip, "--timeline") | {"file": clip.name} for clip in clips]
    assert [json.loads(line) for line in taken("#export-all [data-export=json]").splitlines()] == expected
    lines = thymos_here("predict", *clips, "--format", "csv").stdout
    assert taken("#export-all [data-export=csv]") == lines.replace(str(clips[0]), clips[0].name).replace(
        str(clips[1]), clips[1].name
    )
    for kind in ("textgrid", "srt"):
        assert taken(f"#export-one [data-export={kind}]") == thymos_here("predict", clips[0], "--format", kind).stdout
    page.click("#clear")
    expect(page.locator("#results")).to_be_hidden()


def test_a_folder_is_searched_for_recordings(page, clip, tmp_path):
    folder = tmp_path / "calls"
    (folder / "monday").mkdir(parents=True)
    shutil.copy(clip, folder / "monday" / "one.opus")
    (folder / "notes.txt").write_text("no sound")
    page.set_input_files("#folder", folder)
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#rows tr td").first).to_have_text("calls/monday/one.opus")


def test_labels_are_chosen(page, clip, thymos_here):
    dropped(page, clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    page.click("#options summary")
    labels = load("thymos").labels
    kept = ("fear", "sadness")
    for label in labels:
        if label not in kept:
            page.uncheck(f"#labels input[value={label}]")
    row = told(thymos_here, clip, "--labels", ",".join(kept))
    expect(page.locator("#rows tr td").nth(2)).to_have_text(f"{row['probabilities'][row['emotion']]:.2f}")
    page.locator("#labels input[value=fear]").click()
    expect(page.locator("#problem")).to_have_text("At least two are needed.")
    assert page.is_checked("#labels input[value=fear]")


def test_channels_are_heard_side_by_side(page, mini, thymos_here, tmp_path):
    ends = [
        resample(read_waveform(sorted(mini.glob(f"{emotion}/*"))[3]), 16_000).samples
        for emotion in ("anger", "sadness")
    ]
    call = tmp_path / "call.wav"
    soundfile.write(call, np.stack([end[: min(map(len, ends))] for end in ends], axis=1), 16_000, subtype="PCM_16")
    dropped(page, call)
    expect(page.locator("#status")).to_have_text("1 heard")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.click("#options summary")
    page.select_option("#channels", "split")
    expect(page.locator("#rows tr")).to_have_count(2)
    said = thymos_here("predict", call, "--channels", "split", "--timeline", "--format", "jsonl").stdout
    rows = [json.loads(line) for line in said.splitlines()]
    for number, row in enumerate(rows):
        cells = page.locator("#rows tr").nth(number).locator("td")
        expect(cells.nth(0)).to_have_text(f"call.wav · channel {number + 1}")
        expect(cells.nth(2)).to_have_text(f"{row['probabilities'][row['emotion']]:.2f}")
    expect(page.locator(".part")).to_have_count(2)
    boxes = [part.bounding_box() for part in page.locator(".part").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"], "side by side"
    page.locator(".explain").nth(1).click()
    expect(page.locator(".explanation").nth(1)).to_be_visible()
    expect(page.locator(".explanation").nth(0)).to_be_hidden()
    taken = []
    page.on("download", lambda download: taken.append(download))
    page.click("#export-one [data-export=srt]")
    end_s = time.monotonic() + 30
    while len(taken) < 2 and time.monotonic() < end_s:
        page.wait_for_timeout(50)
    assert [download.suggested_filename for download in taken] == ["call.channel1.srt", "call.channel2.srt"]
    expected = [thymos_here("predict", call, "--channels", str(n), "--format", "srt").stdout for n in (1, 2)]
    assert [Path(download.path()).read_text(encoding="utf-8") for download in taken] == expected
    with page.expect_download() as download:
        page.click("#export-one [data-export=json]")
    lines = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
    assert lines == [row | {"file": row["file"].replace(str(call), call.name)} for row in rows]
    page.select_option("#channels", "speakers")
    expect(page.locator("#rows tr").first).to_contain_text("voice 1")
    expect(page.locator("#rows tr td").nth(2)).to_have_text("100 % of the time")  # a share, not a probability
    expect(page.locator("#subtitles")).to_be_hidden()


def test_a_recording_of_the_microphone_is_heard(page):
    page.click("#record")
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(3_000)
    page.click("#record")
    cells = page.locator("#rows tr").first.locator("td")
    expect(page.locator("#status")).to_have_text("1 heard")
    assert float(cells.nth(4).text_content().split()[0]) > 1.0, "seconds of speech"
    assert cells.nth(0).text_content().startswith("recording 20")


def test_live_answers_come_soon(page):
    page.click("#listen")
    began_s = time.monotonic()
    page.wait_for_selector("#live-emotion .swatch")
    waited_s = time.monotonic() - began_s
    assert waited_s < 10, "1.5 s of speech, and what a busy machine takes"
    shares = [float(cell.text_content()) for cell in page.locator("#live-bars .number").all()]
    assert abs(sum(shares) - 1) < 0.05
    page.click("#listen")
    expect(page.locator("#listen")).to_have_attribute("aria-pressed", "false")


def test_why_no_stream_is_heard_is_told(browser, serve):
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENT_MS)
    page.goto(serve("--workers", "1", "--streams", "0").address)
    page.wait_for_selector("html[data-ready]")
    page.click("#listen")
    expect(page.locator("#problem")).to_contain_text("live streams are heard, as many as may")
    page.wait_for_timeout(500)  # the line closes, which is no reason
    expect(page.locator("#problem")).to_contain_text("as many as may")
    expect(page.locator("#listen")).to_have_attribute("aria-pressed", "false")
    page.context.close()


def test_of_minutes_is_told_which_emotion_has_most_of_them(page):
    """As the command line does, also where the most probable one of all has no stretch of its own."""
    told = """([row, language]) => import("/page/words.js").then(({ answerOf, setLanguage }) => {
        setLanguage(language);
        return answerOf(row); })"""
    row = {
        "emotion": "disgust", "probabilities": {"anger": 0.29, "disgust": 0.33, "fear": 0.38}, "long": True,
        "prediction_set": ["disgust", "anger"], "shares": {"anger": 0.7, "fear": 0.296, "happiness": 0.004},
    }  # fmt: skip
    said = {"emotion": "anger", "sure": "70 % of the time", "others": "then fear 30\u00a0%"}
    assert page.evaluate(told, [row, "en"]) == said
    assert page.evaluate(told, [row, "el"])["others"] == "έπειτα φόβος 30\u00a0%"
    short = {"emotion": "disgust", "sure": "0.33", "others": "anger"}
    assert page.evaluate(told, [row | {"long": False}, "en"]) == short
    assert page.evaluate(told, [row | {"shares": {}}, "en"]) == short
    assert page.evaluate(told, [row | {"emotion": None}, "en"]) == {"emotion": None, "sure": "", "others": ""}


TOP_LINE = """() => { const curve = document.querySelector(".part .curve"), y = 8 * devicePixelRatio;
    return String(curve.getContext("2d").getImageData(curve.width - 3, y, 1, 1).data); }"""


def test_pictures_follow_the_light(page, clip):
    """What is drawn has the colours of its time, also where the device turns dark by itself."""
    page.emulate_media(color_scheme="light")
    dropped(page, clip)
    expect(page.locator(".part .curve")).to_be_visible()
    light = page.evaluate(TOP_LINE)
    assert light.endswith(",255"), "a line is drawn there"
    page.emulate_media(color_scheme="dark")
    end_s = time.monotonic() + 30
    while page.evaluate(TOP_LINE) == light and time.monotonic() < end_s:
        page.wait_for_timeout(50)
    assert page.evaluate(TOP_LINE) != light


def chosen(page, clip):
    """Choose a file by the space bar; Chromium without a screen now and then opens no chooser, so several times."""
    for _ in range(5):
        try:
            with page.expect_file_chooser(timeout=10_000) as chooser:
                page.keyboard.press("Space")
        except ChooserTimeout:
            continue
        chooser.value.set_files(clip)
        return
    raise AssertionError("the space bar opens no chooser")


def test_everything_is_done_by_the_keyboard(page, clip):
    def go_to(place: str) -> None:
        for _ in range(60):
            if page.evaluate("place => document.activeElement.closest(place) !== null", place):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{place} is not reached")

    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    go_to("#law-open")
    page.keyboard.press("Enter")
    expect(page.locator("#law")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#law")).to_be_hidden()
    go_to("#files")
    chosen(page, clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    go_to(".stretches")
    page.keyboard.press("Enter")
    go_to(".explain")
    page.keyboard.press("Enter")
    expect(page.locator(".explanation")).to_be_visible()


GREEK_PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [GREEK_PHONE], indirect=True, ids=["phone"])
def test_on_a_phone_in_greek_and_in_the_dark(page, clip):
    dropped(page, clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    page.select_option("#language", "el")
    expect(page.locator("#status")).to_have_text("Ακούστηκαν 1")
    expect(page.locator("#notice-title")).to_have_text("Χρησιμοποιείτε σύστημα αναγνώρισης συναισθημάτων")
    assert page.evaluate("() => document.documentElement.lang") == "el"
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, "nothing runs off the side"
    untranslated = page.evaluate(
        """async () => { const { LANGUAGES: { en, el } } = await import("/page/words.js");
        return Object.keys(en).filter(key => !(key in el)); }"""
    )
    assert untranslated == []


@pytest.mark.parametrize(
    "page",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, GREEK_PHONE],
    indirect=True,
    ids=["light", "dark", "phone"],
)
def test_no_violation_of_accessibility(page, clip, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python, of dev")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    page.set_input_files("#files", [clip, bad])
    expect(page.locator("#rows tr")).to_have_count(2)
    page.click(".explain")
    expect(page.locator(".explanation")).to_be_visible()
    page.click("#options summary")
    page.click("#listen")
    page.wait_for_selector("#live:not([hidden])")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.click("#listen")
    for opener in ("#about-open", "#law-open"):
        page.click(opener)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("Escape")


def test_the_law_and_the_model_are_one_click_away(page):
    expect(page.locator(".notice")).to_contain_text("emotion recognition system")
    page.click("#law-open")
    expect(page.locator("#law")).to_contain_text("Article 50(3)")
    page.keyboard.press("Escape")
    page.click("#about-open")
    about = load("thymos").bundle.about
    expect(page.locator("#card")).to_contain_text(f"{about.name} {about.version}")
    expect(page.locator("#card")).to_contain_text(about.licence)


def test_a_token_is_asked_for(browser, serve, clip):
    server = serve("--workers", "1", "--token", "correct horse")
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENT_MS)
    page.goto(server.address)
    expect(page.locator("#token")).to_be_visible()
    page.fill("#token-value", "correct horse")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-ready]")
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    page.click("#listen")
    page.wait_for_selector("#live-emotion .swatch")
    page.context.close()
