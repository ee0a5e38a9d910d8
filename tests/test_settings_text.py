"""YAML made to harm its reader, and what people write by mistake: one sentence each, and little memory."""

import resource
import time
from pathlib import Path

import pytest

from thymos.config import SettingsTextError, apply_change, settings_of
from thymos.corpora.label_map import read_label_map
from thymos.errors import CorpusError, RecipeError
from thymos.evaluation.study_plan import load_study
from thymos.labels import natural_key
from thymos.recipes import load_recipe

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine to the ninth words."""
HARMFUL = {
    "bomb": (BOMB, "anchors are not used"),
    "round": ("a: &a\n  b: *a", "anchors are not used"),
    "merged": ("<<: {kind: cnn}", ""),
    "deep": ("a: " + "[" * 100_000, "nested too deeply"),
    "deep blocks": ("\n".join(" " * i + "a:" for i in range(500)), "nested too deeply"),
    "long number": ("a: " + "9" * 5_000, "YAML"),
    "large number": ("a: 99999999999999999999999", "too large"),
    "binary": ("a: !!binary aGFsbG8=", "'binary' is no kind of setting"),
    "set": ("a: !!set {b, c}", "'set' is no kind"),
    "dates": ("a: !!timestamp 2020-99-99", "'timestamp' is no kind"),
    "object": ("a: !!python/object/apply:os.system [true]", "no kind of setting"),
    "own": ("a: !mine x", "no kind of setting"),
    "twice": ("a: 1\na: 2", "there twice"),
    "lists for keys": ("? [a, b]\n: c", "a key is no word"),
    "two documents": ("a: 1\n---\nb: 2", "YAML"),
    "codes": ("a: \x1b[2J", "YAML"),
    "large": ("a: " + "x" * (2 << 20), "larger than"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "words"), HARMFUL.values(), ids=list(HARMFUL))
def test_what_would_harm_is_one_sentence_in_recipes_studies_and_label_maps(tmp_path: Path, text, words):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read, error in ((load_recipe, RecipeError), (load_study, RecipeError), (read_label_map, CorpusError)):
        if read is read_label_map and text.startswith("a: 9"):  # there, everything is a word
            continue
        with pytest.raises(error) as caught:
            read(file)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
        assert read is read_label_map or words in str(caught.value)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


@pytest.mark.parametrize(
    "change",
    ["training.epochs=2020-99-99", "training.epochs=2020-01-01", "training.epochs=!!binary eA==", "training.epochs=*a",
     "training.epochs=" + "9" * 5_000, "training.epochs=" + "[" * 50_000, "training.epochs={1: 2, 1: 3}", "training=3",
     "=", "a.b.c=1", "training.epochs=.inf", "training.epochs=", "training.epochs=\x00"],
)  # fmt: skip
def test_changes_that_cannot_be_are_one_sentence(change):
    with pytest.raises(RecipeError) as caught:
        load_recipe("model3", [change])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_settings_are_as_yaml_has_them():
    text = "a: 1\nb: [0.5, true, null, x]\nc: {no: 2020-01-31, 1: '1'}"
    assert settings_of(text) == {
        "a": 1, "b": [0.5, True, None, "x"], "c": {"no": "2020-01-31", "1": "1"}
    }  # fmt: skip
    assert settings_of("no: 1\nyes: ~", words_only=True) == {"no": "1", "yes": "~"}
    content: dict[str, object] = {}
    apply_change(content, "a.b=2020-01-31")
    assert content == {"a": {"b": "2020-01-31"}}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind):
    import os

    file = tmp_path / "a.yaml"
    {"pipe": lambda: os.mkfifo(file), "device": lambda: file.symlink_to("/dev/zero"), "folder": file.mkdir}[kind]()
    for read, error in ((load_recipe, RecipeError), (read_label_map, CorpusError)):
        with pytest.raises(error, match="cannot be read"):
            read(file)


def test_a_text_of_another_kind_is_refused():
    with pytest.raises(SettingsTextError, match="is not YAML"):
        settings_of("a: [")


def test_natural_order_of_numbers_of_any_length():
    words = ["s2", "s10", "s" + "9" * 5_000, "s007", "a"]
    assert sorted(words, key=natural_key) == ["a", "s2", "s007", "s10", "s" + "9" * 5_000]
