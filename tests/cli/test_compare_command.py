"""``thymos compare`` as a user types it, and the files that it writes."""

import csv
import json
import re

import pytest

from thymos.errors import RunError
from thymos.reports.comparison_report import claim_comparison_folder, comparison_latex, comparison_markdown, verdicts
from thymos.scoring.comparison import compare


@pytest.fixture
def folders(write_run):
    return [write_run("half", lambda i: i % 2 == 0), write_run("good_$1 & co", lambda i: i % 7 != 1)]


@pytest.mark.slow
def test_a_comparison_from_end_to_end(thymos_here, folders, tmp_path):
    out = tmp_path / "out"
    done = thymos_here("compare", *folders, "--out", out)
    assert done.returncode == 0
    said = done.stdout
    assert "accuracy per recording, compared with half" in said
    assert "50.0 ± 0.0" in said
    assert re.search(r"Good_\$1 & co is 35\.0 points above half \(.*\)\.", " ".join(said.split()))
    starts = {
        "compare.csv": b"name,", "compare.md": b"Accuracy per recording", "compare.tex": b"% needs",
        "compare.json": b"{", "forest.png": b"\x89PNG", "forest.pdf": b"%PDF", "forest.svg": b"<?xml",
    }  # fmt: skip
    assert {path.name for path in out.iterdir()} == set(starts)
    for name, start in starts.items():
        assert (out / name).read_bytes().startswith(start)
    base, other = csv.DictReader((out / "compare.csv").open())
    comparison = json.loads((out / "compare.json").read_text())["runs"][1]["comparison"]
    assert (base["name"], base["compared_to"], base["p_holm"]) == ("half", "", "")
    assert float(other["pooled_difference"]) == pytest.approx(21 / 60, abs=1e-6)
    assert float(other["accuracy_mean"]) == pytest.approx(51 / 60, abs=1e-6)
    assert float(other["p_mcnemar"]) == pytest.approx(comparison["mcnemar"]["p"], rel=1e-5)
    assert float(other["p_t"]) == pytest.approx(comparison["t_test"]["p"], rel=1e-5)
    assert (other["mcnemar_base_only_right"], other["mcnemar_other_only_right"]) == ("4", "25")
    again = thymos_here("compare", *folders, "--out", out, "--name", "a", "--name", "b")
    assert again.returncode == 0, "an earlier comparison is replaced"
    assert "B is 35.0 points above a" in again.stdout


@pytest.mark.slow
def test_base_and_level(thymos_here, folders):
    done = thymos_here("compare", *folders, "--base", folders[1], "--level", "segment")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())  # lines are broken where the terminal's width asks for it
    assert "accuracy per segment, compared with good_$1 & co" in said
    assert "Half is 35.0 points below good_$1 & co" in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["{0}"], "a comparison needs at least two runs"),
        (["{0}", "nowhere"], "nowhere is not a run folder: there is no such folder"),
        (["{0}", "{1}", "--base", "nowhere"], "--base nowhere is none of the runs that are compared"),
        (["{0}", "{1}", "--name", "one"], "2 runs need as many different names, not one"),
        (["{0}", "{1}", "--out", "{0}"], "holds something else, such as predictions.csv; choose another --out"),
        (["{0}", "{1}", "--out", "{0}/results.json"], "results.json is not a folder; choose another --out"),
    ],
)
def test_a_wrong_call_is_one_sentence(thymos_here, folders, words, complaint):
    done = thymos_here("compare", *(word.format(*folders) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_t_test_the_table_says_why(thymos_here, folders, write_run):
    done = thymos_here("compare", folders[0], write_run("ten", lambda i: i % 7 != 1, folds=10))
    assert done.returncode == 0
    assert "There is no t-test: the folds differ" in " ".join(done.stdout.split())


def test_markdown_and_latex_hold_what_the_table_says_and_no_commands(folders):
    table = compare(folders)
    markdown, latex = comparison_markdown(table), comparison_latex(table)
    fields = next(line for line in markdown.splitlines() if line.startswith("| good")).split(" | ")
    assert fields[1].startswith("85.0 ± ")
    assert fields[2].startswith("**+35.0 [")
    assert "- Good_$1 & co is 35.0 points above half" in markdown
    row = next(line for line in latex.splitlines() if line.startswith("good"))
    assert row.startswith(r"good\_\$1 \& co & 85.0 $\pm$ ")
    assert r"\textbf{+35.0 [" in row
    assert row.endswith(r"\\")
    assert len(re.findall(r"(?<!\\)&", row)) == 5
    for line in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lrrrrr}"):
        assert line in latex
    assert "%" not in re.sub(r"\\%", "", latex.split("\n", 1)[1])
    assert len(verdicts(table)) == 1


def test_an_unfinished_file_of_our_own_is_no_hindrance(tmp_path):
    claim_comparison_folder(tmp_path / "new")
    (tmp_path / ".compare.md.x.part").touch()
    (tmp_path / "forest.png").touch()
    claim_comparison_folder(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"such as thesis\.tex"):
        claim_comparison_folder(tmp_path)
