"""One table says what can be heard: the documentation, searches in folders and decoders go by it."""

from pathlib import Path

from thymos.audio.containers import AUDIO_SUFFIXES, FORMATS, MEDIA_SUFFIXES, REMARKS, SOUND_SUFFIXES
from thymos.audio.search import is_sound_name
from thymos.runtime.prediction import FLAGS

PAGE = (Path(__file__).parents[2] / "docs" / "hearing.md").read_text(encoding="utf-8")


def test_the_page_has_every_format_and_flag_as_the_code_has_it():
    for each in FORMATS:
        suffixes = " ".join(f"`{suffix}`" for suffix in each.suffixes.split())
        assert f"| {each.name} | {suffixes} | {each.holds} |" in PAGE
    for flag, words in FLAGS.items():
        assert f"| `{flag}` | {words} |" in PAGE
    assert PAGE.count("\n| `") == len(FLAGS), "and no others"


def test_every_remark_is_a_flag():
    assert {flag: FLAGS[flag] for flag in REMARKS} == REMARKS


def test_what_is_looked_for_in_folders_is_what_is_in_the_table():
    told = {suffix for each in FORMATS for suffix in each.suffixes.split()}
    assert told == SOUND_SUFFIXES == AUDIO_SUFFIXES | MEDIA_SUFFIXES
    assert not AUDIO_SUFFIXES & MEDIA_SUFFIXES
    assert all(is_sound_name(f"A{suffix.upper()}") for suffix in told) and not is_sound_name("a.txt")
