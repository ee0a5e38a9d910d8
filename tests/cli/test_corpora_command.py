"""``thymos corpora``: what is known of each corpus, for people, programs and the documentation alike."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thymos.cli import app
from thymos.cli.console import console
from thymos.corpora.finding import NAMED, known_corpora

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "corpora.md"


def printed(*words: str) -> str:
    with pytest.MonkeyPatch.context() as patch:  # it reads COLUMNS when it is made
        patch.setattr(console, "_width", 140)
        result = CliRunner().invoke(app, ["corpora", *words])
    assert result.exit_code == 0
    return result.stdout


def test_programs_get_every_reader_with_all_that_is_known() -> None:
    told = json.loads(printed("--format", "json"))
    by_kind = {corpus["kind"]: corpus for corpus in told["corpora"]}
    assert by_kind.keys() == {"aesdd", *(reader.KIND for reader in NAMED)}
    assert len(by_kind) == 19
    ravdess = by_kind["ravdess"]
    assert (ravdess["clips"], ravdess["speakers"], ravdess["languages"]) == (1440, 24, ["en"])
    assert (ravdess["licence"], ravdess["source"]) == ("CC BY-NC-SA 4.0", "https://zenodo.org/records/1188976")
    assert told["formats"].keys() >= {"csv", "folders"}


def test_people_see_every_corpus_its_size_and_where_it_is_had() -> None:
    page = printed()
    for corpus in known_corpora():
        assert f"│ {corpus.name} " in page
        assert f"  {corpus.kind}: {corpus.source} – {corpus.expects}" in page
    assert "│ en        │ 13708 │  12.1 │      304 │" in page


def test_the_documentation_says_the_same() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    begin, end = "holds this part and the readers together -->\n", "<!-- end -->"
    assert text.split(begin)[1].split(end)[0] == printed("--format", "markdown")


def test_every_fact_is_there() -> None:
    for corpus in known_corpora():
        assert corpus.clips > 0 < corpus.hours and corpus.speakers > 1
        assert corpus.source.startswith("http")
        assert len(set(corpus.emotions)) == len(corpus.emotions) > 3
        assert all(len(language) == 2 for language in corpus.languages)
        assert corpus.paper and corpus.licence and "\n" not in corpus.expects
