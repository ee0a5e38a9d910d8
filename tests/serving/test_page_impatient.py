"""The page as people use it who do not wait: what comes too early, twice, or while something else goes on; and what
is not there when it is asked for."""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
from chromium import NEEDED, PATIENT_MS
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = NEEDED
expect.set_options(timeout=PATIENT_MS)
PREDICT, MODELS = "**/v1/predict*", "**/v1/models"
LOST = "The connection to the server was lost."
SLOW_MICROPHONE = """window.opened = [];
const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await own(wanted);
    opened.push(stream.getTracks()[0]);
    await new Promise((go) => setTimeout(go, 300));
    return stream; };"""
"""As where people are still asked whether it may be used; ``opened`` are its tracks."""
UNPLUG = "() => { opened.at(-1).stop(); opened.at(-1).dispatchEvent(new Event('ended')); }"


@pytest.fixture
def blank(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``blank(script, **context) -> a page`` that nothing was opened in; an exception in it fails the test."""
    complaints: list[str] = []
    opened = []

    def new(script: str = "", **options) -> Page:
        context = browser.new_context(locale="en-GB", **options)
        context.set_default_timeout(PATIENT_MS)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.add_init_script(script)
        return page

    yield new
    for context in opened:
        context.close()
    assert not complaints


@pytest.fixture
def page(blank, server) -> Page:
    page = blank()
    page.goto(server.address)
    page.wait_for_selector("html[data-ready]")
    return page


def holding(page: Page, address: str, most: int = 100) -> list[Route]:
    """Hold back the next requests at an address, ``most`` of them; to be let go by ``continue_``."""
    held: list[Route] = []
    page.route(address, lambda asked: held.append(asked) if len(held) < most else asked.continue_())
    return held


def once(page: Page, held: list[Route], number: int = 1) -> Route:
    """Wait until so many requests have been held; return the last."""
    for _ in range(PATIENT_MS // 50):
        if len(held) >= number:
            return held[number - 1]
        page.wait_for_timeout(50)
    raise AssertionError(f"only {len(held)} requests came")


def two_of(clip: Path, folder: Path) -> list[Path]:
    other = folder / f"another{clip.suffix}"
    shutil.copy(clip, other)
    return [clip, other]


def test_a_file_chosen_before_it_is_known_what_hears_is_heard_once_it_is(blank, server, clip):
    page = blank()
    held = holding(page, MODELS)
    page.goto(server.address)
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("Hearing 1 of 1 …")
    once(page, held).continue_()
    expect(page.locator("#detail-title")).to_have_text(clip.name)


def test_a_lost_server_is_told_of_and_asked_again_once_it_is_back(blank, server, clip):
    page = blank()
    page.route(MODELS, lambda asked: asked.abort())
    page.goto(server.address)
    expect(page.locator("#problem")).to_have_text(LOST)
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("0 heard, 1 could not be")
    expect(page.locator("#rows tr")).to_contain_text(LOST)
    page.click("#listen")
    expect(page.locator("#problem")).to_have_text(LOST)
    page.unroute(MODELS)
    page.set_input_files("#files", clip)
    expect(page.locator("#detail-title")).to_have_text(clip.name)
    page.route(PREDICT, lambda asked: asked.abort())
    page.click("#export-all [data-export=csv]")
    expect(page.locator("#problem")).to_have_text(LOST)


def test_who_asks_too_often_is_heard_later(page, clip):
    answers = [429, 503]

    def refuse(asked: Route) -> None:
        if answers:
            asked.fulfill(status=answers.pop(0), headers={"Retry-After": "0"}, json={"detail": "too many"})
        else:
            asked.continue_()

    page.route(PREDICT, refuse)
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    assert not answers


def test_what_is_cleared_while_it_is_heard_stays_away(page, clip, tmp_path):
    held = holding(page, PREDICT)
    page.set_input_files("#files", two_of(clip, tmp_path))
    first = once(page, held)
    page.click("#clear")
    with page.expect_response(PREDICT):
        first.continue_()
    page.unroute(PREDICT)
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    expect(page.locator("#rows tr")).to_have_count(1)
    assert len(held) == 1, "nobody hears what was cleared"


def test_a_table_to_take_along_has_one_head_while_its_rows_are_heard_anew(page, clip, tmp_path):
    page.set_input_files("#files", two_of(clip, tmp_path))
    expect(page.locator("#status")).to_have_text("2 heard")
    page.click("#options summary")
    held = holding(page, PREDICT, most=2)
    page.uncheck("#labels input[value=anger]")
    once(page, held).continue_()
    anew = once(page, held, 2)
    with page.expect_download() as download:
        page.click("#export-all [data-export=csv]")
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert len(rows) == 3 and len(set(map(len, rows))) == 1
    assert "p_anger" not in rows[0]
    anew.continue_()
    expect(page.locator("#status")).to_have_text("2 heard")


def test_of_what_was_not_heard_nothing_is_taken_along(page, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"")
    page.set_input_files("#files", bad)
    expect(page.locator("#status")).to_have_text("0 heard, 1 could not be")
    expect(page.locator("#export-all [data-export=csv]")).to_be_disabled()


def test_the_keyboard_stays_where_it_is_while_others_are_heard(page, clip, tmp_path):
    page.set_input_files("#files", clip)
    page.focus("#rows button")
    page.keyboard.press("Enter")
    page.set_input_files("#files", two_of(clip, tmp_path)[1])
    expect(page.locator("#rows button")).to_have_count(2)
    assert page.evaluate("() => document.activeElement.textContent") == clip.name


def test_a_recording_is_played_also_after_it_could_not_be_heard_anew(page, clip):
    page.set_input_files("#files", clip)
    expect(page.locator("#status")).to_have_text("1 heard")
    page.click("#options summary")
    page.route(PREDICT, lambda asked: asked.abort())
    page.uncheck("#labels input[value=anger]")
    expect(page.locator("#detail")).to_be_hidden()
    page.unroute(PREDICT)
    page.check("#labels input[value=anger]")
    expect(page.locator("#detail-title")).to_have_text(clip.name)
    page.wait_for_function("() => document.getElementById('player').duration > 0")


def test_who_stops_a_stretch_then_hears_the_rest(page, clip):
    page.set_input_files("#files", clip)
    stretch = page.locator(".stretches button").first
    stretch.click()
    end_s = float(re.findall(r"[\d.]+", stretch.text_content())[1])
    page.wait_for_function("() => { const player = document.getElementById('player'); return player.currentTime > 0; }")
    page.evaluate(
        """end => new Promise((stopped) => { const player = document.getElementById('player');
        player.onpause = () => { player.onpause = null; player.currentTime = end - 0.1; player.play(); stopped(); };
        player.pause(); })""",
        end_s,
    )
    heard = page.wait_for_function("end => document.getElementById('player').currentTime > end + 0.1", arg=end_s)
    assert heard.json_value(), "it plays on beyond the stretch"


def test_why_is_told_also_where_the_language_has_changed_meanwhile(page, clip):
    page.set_input_files("#files", clip)
    held = holding(page, PREDICT)
    page.click(".explain")
    asked = once(page, held)
    page.select_option("#language", "el")
    page.dispatch_event(".explain", "click")  # is under way already
    asked.continue_()
    expect(page.locator(".explanation-words")).to_contain_text("Χωρίς τις σημειωμένες περιοχές")
    assert len(held) == 1


def test_a_second_press_opens_no_second_microphone(blank, server):
    page = blank(SLOW_MICROPHONE, timezone_id="Asia/Kolkata")
    page.goto(server.address)
    page.wait_for_selector("html[data-ready]")
    for button in ("#record", "#listen"):
        page.dblclick(button)
        expect(page.locator(button)).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("() => opened.length") == 2
    page.wait_for_selector("#live-emotion .swatch")
    page.click("#listen")
    page.select_option("#language", "el")
    expect(page.locator("#live-bars")).to_contain_text("θυμός")
    page.click("#record")
    expect(page.locator("#rows td").first).to_contain_text(re.compile(r"^ηχογράφηση 20"))
    name = page.locator("#rows td").first.text_content()
    here = page.evaluate("() => new Date().toLocaleString('sv', { timeZone: 'Asia/Kolkata' }).slice(0, 13)")
    assert here in name, "the clock on the wall"
    assert page.evaluate("() => opened.map(({ readyState }) => readyState)") == ["ended", "ended"]


def test_what_was_recorded_until_the_microphone_was_unplugged_is_heard(blank, server):
    page = blank(SLOW_MICROPHONE)
    page.goto(server.address)
    page.wait_for_selector("html[data-ready]")
    for button in ("#listen", "#record"):
        page.click(button)
        expect(page.locator(button)).to_have_attribute("aria-pressed", "true")
        page.wait_for_timeout(1_000)
        page.evaluate(UNPLUG)
        expect(page.locator("#problem")).to_contain_text("The microphone is gone")
        expect(page.locator(button)).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#status")).to_have_text("1 heard")


def test_where_browsers_give_no_microphone_it_is_told_why(blank, server):
    page = blank("Object.defineProperty(navigator, 'mediaDevices', { value: undefined });")
    page.goto(server.address)
    page.click("#record")
    expect(page.locator("#problem")).to_contain_text("only to pages that come by https")


def test_nothing_needs_to_be_kept(blank, server, clip):
    """Who forbids cookies forbids all that a page may keep."""
    blocked = "Object.defineProperty(window, '%s', { get() { throw new DOMException('', 'SecurityError'); } });"
    page = blank(blocked % "localStorage" + blocked % "sessionStorage")
    page.goto(server.address)
    page.set_input_files("#files", clip)
    page.select_option("#language", "el")
    page.click("#theme")
    expect(page.locator("#status")).to_have_text("Ακούστηκαν 1")


def test_a_token_that_is_wrong_or_withheld_can_be_given_later(blank, serve, clip):
    page = blank()
    page.goto(serve("--workers", "1", "--token", "κωδικός εισόδου").address)
    dialog, problem = page.locator("#token"), page.locator("#problem")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(problem).to_have_text("This server asks for a token")
    page.set_input_files("#files", clip)
    page.fill("#token-value", "λάθος")
    expect(page.locator("#token-wrong")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator("#token-wrong")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#rows tr")).to_contain_text("This server asks for a token")
    page.set_input_files("#files", clip)
    page.fill("#token-value", "κωδικός εισόδου")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("1 heard")
