"""The evaluation report: what stands in it, what it survives, and that it is one file."""

import json
import re
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from thymos.errors import RunError
from thymos.reports.figures import RAMPS, confusion_figure, folds_figure, ink_on, save_figure
from thymos.reports.page import clock, data_uri, percent
from thymos.reports.run_report import heard_line, run_page, shares, summary_table, write_report
from thymos.scoring.results import Results, read_results

LABELS = ["anger", "disgust", "fear", "happiness", "sadness"]
HOSTILE = "<script>alert('x')</script> & co.wav"
METRICS = ("accuracy", "uar", "macro_f1")


def _scores(value: float) -> dict[str, float]:
    return {"accuracy": value, "uar": value - 0.0111, "macro_f1": value - 0.0222}


def _summary(value: float, sd: float | None) -> dict[str, Any]:
    means = _scores(value)
    spread = {
        name: {"mean": m, "sd": sd, "ci95": [m - 0.0331, m + 0.0313], "mean_ci95": [m - 0.0412, m + 0.0423]}
        for name, m in means.items()
    }
    return {**spread, "pooled": _scores(value + 0.0007)}


def _counts(scale: int) -> list[list[int]]:
    return [[scale * (12 if r == c else (r + 2 * c) % 3) for c in range(5)] for r in range(5)]


def _fold(index: int) -> dict[str, Any]:
    return {
        "repeat": 0, "fold": index, "name": f"fold {index + 1}",
        "train_clips": 481, "test_clips": 121, "train_segments": 885, "test_segments": 221,
        "wall_s": 10.2 + index,
        "segment": _scores(0.6012 + 0.013 * index), "recording": _scores(0.6543 + 0.017 * index),
        "curve": [
            {"epoch": e, "loss": 1.61 * 0.9**e + 0.02 * index, "accuracy": 1 - 0.8 * 0.93**e}
            for e in range(1, 31)
        ],
    }  # fmt: skip


def _emotion(emotion: str, recall: float) -> dict[str, Any]:
    scores = {"support": 120, "recall": recall, "precision": recall + 0.02, "f1": recall + 0.01}
    return {"emotion": emotion, "segment": scores, "recording": {**scores, "recall": recall + 0.05}}


def _results() -> dict[str, Any]:
    speaker_scores = {**_scores(0.7321), "accuracy_ci95": [0.6123, 0.8234]}
    return {
        "format": 1,
        "corpus": {
            "kind": "aesdd", "name": "aesdd", "clips": 602, "emotions": dict.fromkeys(LABELS, 120),
            "speakers": {"1": 100, "2": 100}, "duration_s": 2460.1, "synthetic": False,
        },
        "recipe": {"name": "cnn-small", "model": {"family": "cnn", "channels": [16, 32]}, "epochs": 30},
        "protocol": {"name": "recording", "folds": 5, "repeats": 1, "must_not_cross": ["recording"]},
        "seed": 7, "shuffled_labels": False, "labels": LABELS,
        "versions": {"thymos": "0.1.0", "python": "3.11.7", "torch": "2.13.0+cpu", "platform": "Linux"},
        "command": "thymos evaluate aesdd --recipe cnn-small --protocol recording --seed 7",
        "finished": "2026-11-23T03:10:00+00:00", "wall_s": 55.1, "features_wall_s": 4.0,
        "folds": [_fold(index) for index in range(5)],
        "summary": {"segment": _summary(0.6272, 0.0206), "recording": _summary(0.6883, 0.0269)},
        "per_speaker": [
            {"speaker": name, "clips": 100, "segment": _scores(0.6432), "recording": speaker_scores}
            for name in "12"
        ],
        "per_emotion": [_emotion(label, 0.5 + 0.07 * at) for at, label in enumerate(LABELS)],
        "confusion": {"segment": _counts(2), "recording": _counts(1)},
        "excluded": [
            {"clip": HOSTILE, "reason": "is empty (0 bytes)", "readable": False},
            {"clip": "sadness/s19 (6).wav", "reason": "is left out by the recipe", "readable": True},
        ],
    }  # fmt: skip


@pytest.fixture
def results() -> dict[str, Any]:
    return _results()


def _page(content: dict[str, Any]) -> str:
    """The page without the figures, which take longest to draw."""
    return run_page(Results.model_validate(content), {})


@pytest.fixture
def page_of():
    return _page


@pytest.fixture
def written(tmp_path):
    """The page with its figures, as it is written into a run folder."""

    def write(content: dict[str, Any]) -> str:
        (tmp_path / "results.json").write_text(json.dumps(content), encoding="utf-8")
        path = write_report(tmp_path)
        assert path == tmp_path / "report.html"
        return path.read_text(encoding="utf-8")

    return write


def _words(page: str) -> str:
    """The page's text as a reader sees it, on one line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body).replace("&nbsp;", " "))


@pytest.mark.slow
def test_page_is_one_file(written, results, tmp_path):
    page = written(results)
    addresses = re.findall(r"""(?:src|href|action|poster)\s*=\s*["']([^"']*)""", page)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "http" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page)
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\(", page)
    drawn = {path.name: path for path in (tmp_path / "figures").iterdir()}
    assert set(drawn) == {"folds.png", "confusion_by_truth.png", "confusion_by_prediction.png", "curves.png"}
    for path in drawn.values():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert data_uri(path) in page


def test_every_link_has_its_section(page_of, results):
    page = page_of(results)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_numbers_are_those_of_the_json(page_of, results):
    words = _words(page_of(results))
    for unit in ("recording", "segment"):
        for metric in METRICS:
            value = results["summary"][unit][metric]
            assert f"{100 * value['mean']:.1f} ± {100 * value['sd']:.1f}" in words
            mean = f"{100 * value['mean']:.1f} ± {100 * value['sd']:.1f}"
            of_mean = f"{100 * value['mean_ci95'][0]:.1f}–{100 * value['mean_ci95'][1]:.1f}"
            pooled = f"{100 * results['summary'][unit]['pooled'][metric]:.1f}"
            assert f"{mean} {of_mean} {pooled} {100 * value['ci95'][0]:.1f}–{100 * value['ci95'][1]:.1f}" in words
            assert f"{100 * results['summary'][unit]['pooled'][metric]:.1f}" in words
        for fold in results["folds"]:
            assert f"{100 * fold[unit]['accuracy']:.1f}" in words
        for emotion in results["per_emotion"]:
            assert f"{100 * emotion[unit]['recall']:.1f}" in words
    assert "61.2–82.3" in words
    assert "Chance among 5 emotions is 20.0" in words
    assert results["command"] in words
    assert "channels:" in words
    assert "seed 7" in words
    assert "no recording is both in its training and in its test part" in words


def test_confusion_tables_hold_counts_and_shares(page_of, results):
    page = page_of(results)
    cells = re.findall(r'<td class="cell[^>]*>([^<]*)</td>', page)
    counts = results["confusion"]["recording"]
    by_truth = [f"{100 * share:.0f}" for share in shares(counts, "truth").flat]
    by_prediction = [f"{100 * share:.0f}" for share in shares(counts, "prediction").flat]
    assert cells[:75] == by_truth + by_prediction + [str(count) for row in counts for count in row]
    assert cells[125:] == [str(count) for row in results["confusion"]["segment"] for count in row]


def test_shares_of_an_emotion_that_was_never_heard_are_unknown():
    counts = [[3, 0], [1, 0]]
    assert np.allclose(shares(counts, "truth"), [[1, 0], [1, 0]])
    assert np.isnan(shares(counts, "prediction")[:, 1]).all()


@pytest.mark.parametrize("name", RAMPS)
def test_cells_are_legible_in_both_themes(name):
    for share in np.linspace(0, 1, 101):
        colours = dict(part.split(":") for part in RAMPS[name].style(share).split(";"))
        for theme in ("light", "dark"):
            assert _contrast(colours[f"--{theme}"], colours[f"--{theme}-ink"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_ink_is_black_on_white_and_white_on_black():
    assert ink_on("#ffffff") == "#000000"
    assert ink_on("#000000") == "#ffffff"


def test_hostile_names_are_escaped(page_of, results):
    results["corpus"]["name"] = results["recipe"]["name"] = results["folds"][0]["name"] = HOSTILE
    results["per_speaker"][0]["speaker"] = results["command"] = HOSTILE
    results["versions"]["platform"] = HOSTILE
    results["protocol"]["must_not_cross"] = [HOSTILE]
    page = page_of(results)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; co.wav" in page


@pytest.mark.slow
def test_names_are_no_formulas(tmp_path):
    figure = folds_figure([r"speaker $\no{such}$"], {"recording": [0.5]}, 0.2)
    assert save_figure(figure, tmp_path / "folds")[0].is_file()
    confused = confusion_figure({"per recording": np.eye(2)}, [r"$\no{such}$", "anger"], RAMPS["truth"].light)
    assert save_figure(confused, tmp_path / "confusion")[0].is_file()


def test_a_confusion_figure_says_what_its_cells_are_shares_of():
    for of, words in (("truth", "in % of the truth (rows)"), ("prediction", "in % of the prediction (columns)")):
        figure = confusion_figure({"per recording": np.eye(2)}, ["anger", "fear"], RAMPS[of].light, of)
        assert figure.axes[0].get_title() == f"per recording,\n{words}"


@pytest.mark.slow
def test_many_long_labels_do_not_cover_each_other():
    labels = [f"{number}: rather frustrated and a little bored" for number in range(24)]
    figure = confusion_figure({"per recording": np.eye(24)}, labels, RAMPS["truth"].light)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))
    assert figure.axes[0].get_window_extent().height > figure.bbox.height / 3


def test_one_fold_has_no_spread(page_of, results):
    results["folds"] = results["folds"][:1]
    for unit in results["summary"].values():
        for metric in METRICS:
            unit[metric]["sd"] = None
    words = _words(page_of(results))
    assert "One fold, so no spread" in words
    assert "68.8 %" in words
    assert not re.search(r"\d ± \d", words)
    assert "None" not in words


def test_the_interval_beside_a_mean_is_its_own(page_of, results):
    """Folds of unlike size: the mean over folds lies outside the interval of the pooled score."""
    for level in ("segment", "recording"):
        results["summary"][level]["macro_f1"] = {
            "mean": 0.092, "sd": 0.057, "ci95": [0.119, 0.238], "mean_ci95": [0.063, 0.116]
        }  # fmt: skip
        results["summary"][level]["pooled"]["macro_f1"] = 0.171
    words = _words(page_of(results))
    assert words.count("9.2 ± 5.7 6.3–11.6 17.1 11.9–23.8") == 2
    shown = " ".join(str(field) for column in summary_table(results | RECORDINGS).columns for field in column.cells)
    assert "0.092 ± 0.057  \\[0.063, 0.116]" in shown
    assert "0.119" not in shown


def test_a_run_of_an_earlier_version_shows_no_interval_beside_its_mean(page_of, results):
    for level in ("segment", "recording"):
        for metric in METRICS:
            del results["summary"][level][metric]["mean_ci95"]
    words = _words(page_of(results))
    value = results["summary"]["recording"]["accuracy"]
    assert f"68.8 ± 2.7 – 68.9 {100 * value['ci95'][0]:.1f}–{100 * value['ci95'][1]:.1f}" in words


RECORDINGS = {"levels": ["recording"]}


def test_whole_recordings_are_shown_once(page_of, results):
    for fold in results["folds"]:
        fold |= {"segment": fold["recording"], "test_segments": fold["test_clips"], "confusion": None}
    results |= RECORDINGS
    for part in ("summary", "confusion"):
        results[part]["segment"] = results[part]["recording"]
    page = page_of(results)
    words = _words(page)
    assert "segment" not in words.lower()
    assert "Heard as whole" not in words
    assert len(re.findall('<figure class="confusion"', page)) == 3
    assert words.count("68.8 ± 2.7") == 2, "once in the first sentence, once in the table"
    assert len(summary_table(results).columns) == 2
    assert set(folds_figure(["one"], {"recording": [0.5]}, 0.2).axes[0].get_legend_handles_labels()[1]) == {
        "chance", "per recording"
    }  # fmt: skip
    assert "hollow" not in page.split("</style>")[1]


@pytest.mark.slow
def test_a_figure_is_the_same_file_every_time(tmp_path):
    for folder in ("one", "two"):
        figure = folds_figure(["fold 1"], {"recording": [0.5]}, 0.2)
        paths = save_figure(figure, tmp_path / folder / "a.b", ("png", "pdf", "svg"))
        assert [path.name for path in paths] == ["a.b.png", "a.b.pdf", "a.b.svg"]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "one" / path.name).read_bytes()
    with pytest.raises(ValueError, match="not as jpg"):
        save_figure(figure, tmp_path / "a", ("png", "jpg"))


def test_corpus_without_speakers(page_of, results):
    results["per_speaker"], results["corpus"]["speakers"] = [], {}
    page = page_of(results)
    assert 'id="speakers"' not in page
    assert "#speakers" not in page


@pytest.mark.slow
def test_run_without_curves(written, results, tmp_path):
    for fold in results["folds"]:
        fold["curve"] = []
    page = written(results)
    assert 'id="training"' not in page
    assert not (tmp_path / "figures" / "curves.png").exists()


def test_emotion_never_predicted_has_no_precision(page_of, results):
    results["per_emotion"][0]["recording"]["precision"] = None
    for row in results["confusion"]["recording"]:
        row[0] = 0
    page = page_of(results)
    assert "None" not in _words(page)
    assert "nan" not in re.findall(r'<td class="cell[^>]*>([^<]*)</td>', page)


def test_notices_appear_only_where_they_belong(page_of, results):
    plain = _words(page_of(results))
    assert "ynthetic corpus" not in plain
    assert "huffled labels" not in plain
    results["corpus"]["synthetic"] = results["shuffled_labels"] = True
    words = _words(page_of(results))
    assert "Synthetic corpus: these numbers say nothing about emotion recognition." in words
    assert "Shuffled labels" in words


def test_exclusions_are_told_apart(page_of, results):
    words = _words(page_of(results))
    assert "1 file that could not be used" in words
    assert "1 readable file left out by a rule" in words
    results["excluded"] = []
    assert "every file of the corpus was used" in _words(page_of(results))


def test_what_a_protocol_names_in_vain_is_listed(page_of, results):
    assert "does not have" not in _words(page_of(results))
    results["protocol"]["absent"] = [HOSTILE, "anger/a01 (1).wav"]
    page = page_of(results)
    assert "2 recordings that the protocol names and the corpus does not have" in _words(page)
    assert "anger/a01 (1).wav" in page
    assert "<script" not in page


def test_repeats_are_named_and_counted_once(page_of, results):
    results["protocol"]["repeats"] = 2
    second = deepcopy(results["folds"])
    for fold in second:
        fold["repeat"] = 1
    results["folds"] += second
    for fold in results["folds"]:  # as the protocols name them
        fold["name"] = f"repeat {fold['repeat'] + 1} fold {fold['fold'] + 1}"
    words = _words(page_of(results))
    assert "repeat 2 fold 1" in words
    assert not re.search(r"repeat \d,? repeat", words)
    assert f"of {np.sum(results['confusion']['recording']) // 2} recordings" in words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no results.json"),
        ("{", "cannot be read"),
        ("[]", "no JSON object"),
        ("\udcff", "cannot be read"),
        ('{"format": 99}', "format 99"),
        ("{}", "format None"),
        ('{"format": 1}', "damaged"),
    ],
)
def test_damaged_results_are_one_sentence(tmp_path, text, message):
    if text is not None:
        (tmp_path / "results.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match=message):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda r: r["confusion"]["segment"].pop(),
        lambda r: r["folds"].clear(),
        lambda r: r["summary"]["recording"].pop("uar"),
        lambda r: r["folds"][2]["recording"].update(accuracy=float("nan")),
        lambda r: r["confusion"].update(recording=[[0] * 5] * 5),
        lambda r: r.update(labels=[]),
        lambda r: r["protocol"].update(repeats=0),
    ],
)
def test_damaged_fields_are_refused(tmp_path, results, damage):
    damage(results)
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        read_results(tmp_path)


def test_words_for_numbers():
    assert percent(0.63123) == "63.1\N{NO-BREAK SPACE}%"
    assert percent(None) == "–"
    assert [clock(s).replace("\N{NO-BREAK SPACE}", " ") for s in (4.21, 59.97, 200, 11_100)] == [
        "4.2 s", "1 min 00 s", "3 min 20 s", "3 h 05 min",
    ]  # fmt: skip


def test_every_report_says_what_was_heard_before() -> None:
    """In one line, whatever was fitted; of a run of an earlier version, that it does not tell."""
    results = _results()
    assert heard_line(results) == "Heard before: nothing. All that the models know is of the training parts."
    encoder = results | {"recipe": {"name": "mine", "kind": "encoder"}}
    assert heard_line(encoder) == "Heard before: not told by this run."
    start = {"sha256": "0", "layers_of": {"name": "openai/whisper-base"}}
    corpora = [
        {"name": name, "clips": clips, "stage": "pretraining"} for name, clips in (("nemo", 4481), ("tess", 2800))
    ]
    began = "Heard before: by the encoder, which began as openai/whisper-base, trained on speech of the web"
    told = encoder | {"provenance": {"start_from": start, "trained_on": corpora}}
    assert heard_line(told) == f"{began} that is not published: clips of nemo (4481), tess (2800)."
    told = encoder | {"provenance": {"start_from": start | {"near_copies": True}, "trained_on": corpora}}
    assert heard_line(told).endswith("tess (2800); none of the recordings here, nor a near-copy, is among them.")
    assert heard_line(told) in run_page(Results.model_validate(told), {})
