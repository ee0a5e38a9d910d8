"""The page of a study: what stands in it, what it survives, and that it is one file."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest

from thymos.errors import RunError
from thymos.reports.study_report import (
    read_study,
    repeats_plots,
    study_forest,
    study_markdown,
    study_page,
    write_study_report,
)

HOSTILE = "<script>alert('x')</script> & co"


def _level(mean: float) -> dict[str, Any]:
    # The interval of the pooled score lies elsewhere, and nothing of it may stand beside the mean.
    score = {"mean": mean, "sd": 0.03, "ci95": [mean + 0.05, mean + 0.11], "mean_ci95": [mean - 0.04, mean + 0.04]}
    return {"accuracy": score, "uar": score, "macro_f1": score, "pooled": {}}


def _row(name: str, mean: float, **more: Any) -> dict[str, Any]:
    repeats = more.get("repeats", 1) or 0
    row = {
        "row": name, "slug": "a-row", "group": "Networks", "note": "Is it good?", "recipe": "model3",
        "protocol": "recording", "failed": None, "published": None, "chosen": [], "folds": 5, "repeats": 1,
        "clips": 602, "levels": ["segment", "recording"], "absent": [], "parameters": [123456],
        "summary": {"segment": _level(mean), "recording": _level(mean + 0.02)},
        "by_fold": [
            {"repeat": r, "fold": f, "segment": {"accuracy": mean + 0.01 * (f - 2) + 0.005 * r},
             "recording": {"accuracy": mean + 0.02 * (f - 2)}}
            for r in range(repeats) for f in range(5)
        ],
        "comparison": None,
        "curve": [
            {"epoch": e, "loss": 0.8**e, "accuracy": 1 - 0.8**e, "validation_loss": 1.6, "validation_accuracy": 0.3}
            for e in range(1, 21)
        ],
    }  # fmt: skip
    return row | more


def _comparison(difference: float, p: float, shown: bool) -> dict[str, Any]:
    return {
        "to": "base", "none_because": None, "sentence": f"it is {difference} away", "difference": difference,
        "interval": [difference - 0.02, difference + 0.02], "p_holm": p, "mcnemar_p_holm": 0.25, "shown": shown,
    }  # fmt: skip


def _study() -> dict[str, Any]:
    nothing = {"summary": None, "by_fold": [], "curve": [], "folds": None, "repeats": None, "parameters": None}
    return {
        "format": 1, "name": "study", "description": "What is tried.", "quick": False, "seed": 0, "threads": 1,
        "command": "thymos study x", "excluded": [{"clip": HOSTILE, "reason": "is empty", "readable": False}],
        "corpus": {
            "kind": "aesdd", "name": "aesdd", "clips": 602, "duration_s": 2460.1, "synthetic": False,
            "emotions": dict.fromkeys(("anger", "disgust", "fear", "happiness", "sadness"), 120),
            "speakers": {"1": 602},
        },
        "versions": {"thymos": "0.1.0", "python": "3.11"},
        "rows": [
            _row("base", 0.63, published={"accuracy": 64.12, "sd": 5.7, "what": "the study"}),
            _row("better", 0.71, comparison=_comparison(0.08, 0.0004, True)),
            _row("like it", 0.64, comparison=_comparison(-0.01, 0.7, False), chosen=["a", "b"], parameters=[10, 2000]),
            _row("alone", 0.6, comparison={"to": "gone", "none_because": "gone has no result"}),
            _row("again", 0.62, repeats=5, published={"accuracy": 64.12, "sd": 5.7, "what": "the study"}),
            _row(HOSTILE, 0.0, failed=f"ValueError: {HOSTILE}", **nothing),
        ],
        "timing": {
            "finished": "2026-01-01T00:00:00+00:00", "wall_s": 9000.0, "features_wall_s": 100.0,
            "cells_wall_s": 17000.0, "workers": 2,
        },
    }  # fmt: skip


def _text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.split("</style>")[1]).replace("&nbsp;", " ").split())


def test_the_page_is_one_file_and_escapes_what_it_is_given():
    page = study_page(_study())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert set(re.findall(r'href="([^"#]+)"', page)) == {"data:,", "rows/a-row/report.html"}


def test_the_table_says_what_was_measured_and_what_was_published():
    text = _text(study_page(_study()))
    assert "63.0 ± 3.0 59.0 to 67.0" in text
    assert "64.12 ± 5.7" in text
    assert "+8.0 6.0 to 10.0 to base < 0.001 McNemar 0.250" in text.replace("&lt;", "<")
    assert "−1.0 −3.0 to 1.0 to base 0.700" in text
    assert "chosen: a · b" in text
    assert "10 2,000" in text
    assert "failed: ValueError" in text
    assert "alone and gone: gone has no result" in text


def test_only_what_was_shown_is_claimed():
    page = study_page(_study())
    shown, not_shown = page.split("Differences that were shown")[1].split("Differences that were not shown")
    assert "It is 0.08 away" in shown
    assert "It is -0.01 away" in not_shown


def test_all_that_hangs_on_time_stands_in_one_marked_line():
    study = _study()
    later = deepcopy(study)
    later["timing"] |= {"finished": "2027-02-02T00:00:00+00:00", "wall_s": 1.0, "cells_wall_s": 2.0}
    pairs = zip(study_page(study).split("\n"), study_page(later).split("\n"), strict=True)
    differing = [line for line, other in pairs if line != other]
    assert len(differing) == 1
    assert "data-timing" in differing[0]


def test_a_study_of_failures_has_a_page():
    study = _study()
    study["rows"] = study["rows"][-1:]
    assert "1 row has no result" in _text(study_page(study))


def test_what_a_protocol_names_in_vain_is_listed():
    study = _study()
    study["rows"][0] |= {"protocol": "file:lists", "absent": ["anger/gone.wav"]}
    text = _text(study_page(study))
    assert "base: 1 recording named by file:lists and not in the corpus anger/gone.wav" in text
    assert "not in the corpus" not in _text(study_page(_study()))


def test_the_markdown_table_has_a_line_for_every_row():
    study = _study()
    study["rows"][-1] |= {"row": "a|b", "failed": "ValueError:\n no | good"}
    lines = study_markdown(study).splitlines()
    assert lines[0] == "### Networks"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(study["rows"])
    # Bars that are no cell borders are escaped, so every line has as many cells.
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8}
    assert table[-1] == r"| a\|b | recording | failed: ValueError: no \| good |  |  |  |  |"
    assert "| again | recording, 5 × 5 |" in table[-2]
    assert "| base | recording, 1 × 5 | 63.0 ± 3.0 [59.0, 67.0] |" in table[2]


def test_quick_and_synthetic_studies_say_so():
    study = _study() | {"quick": True}
    study["corpus"]["synthetic"] = True
    text = _text(study_page(study))
    assert "not to be cited" in text
    assert "say nothing about emotion recognition" in text


def test_marks_lie_where_the_values_are():
    plot = study_forest(_study())
    assert plot is not None
    ticks = {text: share for share, text in plot.ticks}
    assert ticks["60"] == 0.6
    assert plot.place(plot.low) == 0
    assert plot.place(plot.high) == 100
    assert plot.place((plot.low + plot.high) / 2) == 50
    base = {mark.kind: mark for mark in plot.rows[0].marks}
    assert (base["segment"].value, base["segment"].low, base["segment"].high) == pytest.approx((0.63, 0.59, 0.67))
    assert base["recording"].value == pytest.approx(0.65)
    assert (base["published"].low, base["published"].high) == pytest.approx((0.5842, 0.6982))
    assert plot.reference is None, "no row is near chance"
    assert plot.rows[-1].marks == ()


def test_how_much_repeats_vary():
    segment, recording = repeats_plots(_study()["rows"])
    assert (segment.lowest, segment.highest) == pytest.approx((0.62, 0.64))
    assert (segment.lowest_fold, segment.highest_fold) == pytest.approx((0.60, 0.66))
    assert len(segment.means) == 5
    assert len(set(segment.folds)) == len(segment.folds) == 25
    assert segment.published is not None
    assert recording.published is None


def _whole_recordings() -> dict[str, Any]:
    study = _study()
    for row in study["rows"]:
        row |= {"levels": ["recording"], "published": None}
        if row["summary"]:
            row["summary"] = {level: _level(0.7312) for level in ("segment", "recording")}
    return study


def test_whole_recordings_are_shown_once():
    study = _whole_recordings()
    page = study_page(study)
    text = _text(page)
    assert "er segment" not in text
    assert "Published" not in text
    table = page.split('id="table"')[1].split("</table>")[0]
    assert len(re.findall("73.1", table)) == 2 * 5, "accuracy and UAR of each row with a result"
    forest = study_forest(study)
    assert forest is not None
    assert forest.kinds == ["recording"]
    assert "per segment" not in study_markdown(study)
    assert [plot.level for plot in repeats_plots(study["rows"])] == ["recording"]


def test_whole_recordings_beside_segments_leave_a_field_empty():
    study = _study()
    study["rows"][1]["levels"] = ["recording"]
    lines = [line for line in study_markdown(study).splitlines() if line.startswith("| better")]
    assert lines[0].startswith("| better | recording, 1 × 5 |  | 73.0 ± 3.0 [69.0, 77.0] |")
    table = study_page(study).split('id="table"')[1].split("</table>")[0]
    assert table.count("71.0") == 0


@pytest.mark.slow
def test_the_figures_are_files_in_every_format(tmp_path):
    study = _study()
    study["rows"] = [row | {"failed": "no"} for row in study["rows"][:2]]  # their own reports need results.json
    (tmp_path / "study.json").write_text(json.dumps(study))
    write_study_report(tmp_path, ("png", "pdf", "svg"))
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for name in ("forest", "curves"):
        for ending, start in starts.items():
            assert (tmp_path / "figures" / f"{name}.{ending}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "has not finished"), ("{", "cannot be read"), ("{}", "format")]
)
def test_what_is_no_study_is_refused(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(RunError, match=complaint):
        read_study(tmp_path)


def test_reading_gives_what_was_written(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(_study()))
    assert read_study(tmp_path) == _study()
