"""A table of comparisons: what is compared with what, under which names, and what is refused."""

import json
import shutil

import pytest

from thymos.errors import ProtocolError, RunError
from thymos.scoring.comparison import compare, read_run
from thymos.scoring.paired import FinishedRun, compare_runs
from thymos.scoring.predictions import read_predictions, write_predictions
from thymos.scoring.significance import holm


@pytest.fixture
def folders(write_run):
    return [
        write_run("half", lambda i: i % 2 == 0),
        write_run("good", lambda i: i % 7 != 1),
        write_run("poor", lambda i: i % 4 == 0),
    ]


@pytest.mark.slow
def test_every_run_is_compared_with_the_base(folders):
    table = compare(folders)
    half, good, poor = map(read_run, folders)
    assert (table.base, [each.name for each in table.runs]) == ("half", ["half", "good", "poor"])
    assert table.runs[0].comparison is None
    alone = [compare_runs(half, other) for other in (good, poor)]
    for each, expected in zip(table.runs[1:], alone, strict=True):
        assert each.comparison is not None
        assert each.comparison.t_test == expected.t_test
        assert each.comparison.mcnemar == expected.mcnemar
        assert each.comparison.bootstrap_ci95 == expected.bootstrap_ci95
    corrected = [each.comparison.p_holm for each in table.runs[1:]]
    assert corrected == pytest.approx(holm([each.p for each in alone]))


@pytest.mark.slow
def test_another_base(folders):
    table = compare(folders, base=2)
    assert [each.name for each in table.runs] == ["poor", "half", "good"]
    assert table.runs[2].comparison.difference == pytest.approx(51 / 60 - 15 / 60)
    assert table.runs[2].verdict("poor").startswith("good is 60.0 points above poor")
    with pytest.raises(ValueError, match="0 to 2"):
        compare(folders, base=3)


@pytest.mark.slow
def test_names(folders, tmp_path):
    assert [each.name for each in compare(folders, ["a", "b", "c"]).runs] == ["a", "b", "c"]
    again = tmp_path / "other" / "half"
    shutil.copytree(folders[0], again)
    names = [each.name for each in compare([again, tmp_path / "half", folders[1]]).runs]
    assert names == ["other/half", f"{tmp_path.name}/half", "good"]
    run = read_run(again)
    assert [each.name for each in compare([run, run, again]).runs] == ["half (1)", "half (2)", "other/half"]
    for wrong in (["a"], ["a", "a", "b"]):
        with pytest.raises(ProtocolError, match="3 runs need as many different names"):
            compare(folders, wrong)


def test_becomes_json(folders):
    content = compare(folders, level="segment").to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["base"], content["level"]) == ("half", "segment")
    good = content["runs"][1]
    assert good["accuracy"]["mean"] == pytest.approx(51 / 60)
    assert good["comparison"]["verdict"].startswith("good is ")
    assert good["comparison"]["t_test"]["df"] == 4
    assert good["comparison"]["level"] == "segment"


def test_one_run_is_no_comparison(folders):
    with pytest.raises(ProtocolError, match="at least two"):
        compare(folders[:1])


def test_runs_that_have_nothing_in_common(folders):
    half = read_run(folders[0])
    moved = FinishedRun(half.results, half.predictions.assign(clip="x" + half.predictions["clip"]))
    with pytest.raises(ProtocolError, match="half and moved: the two runs have no test recording in common"):
        compare([half, moved], ["half", "moved"])


def test_runs_that_label_a_recording_otherwise(folders):
    half = read_run(folders[0])
    other = FinishedRun(half.results, half.predictions.assign(truth="fear"))
    with pytest.raises(ProtocolError, match="40 recordings are labelled differently"):
        compare([half, other])


def test_other_folds_have_no_t_test_and_say_why(folders, write_run):
    table = compare([folders[0], write_run("ten", lambda i: i % 7 != 1, folds=10)])
    comparison = table.runs[1].comparison
    assert comparison.t_test is None
    assert comparison.no_t_test == "the folds differ: repeat 1 fold 1 tests other recordings in one run than the other"
    assert comparison.p == comparison.mcnemar.p


def test_what_is_no_run_folder_is_refused(folders, tmp_path):
    with pytest.raises(RunError, match="there is no such folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not a run folder: it holds no results\.json"):
        read_run(tmp_path)
    (tmp_path / "study.json").touch()
    with pytest.raises(RunError, match=r"is a study's folder; the runs in it are the folders of .*rows"):
        read_run(tmp_path)
    (folders[0] / "results.json").rename(folders[0] / "run.json")
    with pytest.raises(RunError, match="has not finished"):
        read_run(folders[0])
    (folders[1] / "predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="not a table of predictions"):
        read_run(folders[1])
    frame = read_predictions(folders[2] / "predictions.csv").rename(columns={"p_fear": "p_calm"})
    write_predictions(folders[2] / "predictions.csv", frame)
    with pytest.raises(RunError, match=r"predictions\.csv has other labels than the results\.json"):
        read_run(folders[2])


def test_a_truth_that_the_results_do_not_know_is_refused(write_run):
    path = write_run("odd", lambda number: True) / "predictions.csv"
    frame = read_predictions(path)
    frame.loc[0, "truth"] = "boredom"
    write_predictions(path, frame)
    with pytest.raises(RunError, match=r"predictions\.csv has other labels than the results\.json"):
        read_run(path.parent)
