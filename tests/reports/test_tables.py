"""Tables for papers: Markdown, LaTeX and CSV say the same, whatever letters are in them."""

import csv
import shutil
import subprocess

import pytest

from thymos.reports.run_report import write_report
from thymos.reports.run_tables import run_tables
from thymos.reports.tables import PaperTable, table_latex, table_markdown, write_tables
from thymos.scoring.results import read_results

TABLE = PaperTable(
    "scores",
    "Accuracy in %, of a_b",
    ("group", "accuracy"),
    (("[x] | 50 % & more", "61.0 ± 2.0 [58.1, 64.0]"), ("y$", "−1.5")),
    ({"group": "[x] | 50 % & more", "accuracy": 0.61}, {"group": "y$", "accuracy": -1 / 66}),
    frozenset({(1, 1)}),
)


def test_markdown_is_a_table_and_stays_one():
    assert table_markdown(TABLE).splitlines() == [
        "Accuracy in %, of a_b",
        "",
        "| group | accuracy |",
        "|---|---:|",
        "| [x] \\| 50 % & more | 61.0 ± 2.0 [58.1, 64.0] |",
        "| y$ | **−1.5** |",
    ]


def test_latex_holds_no_command_that_was_not_meant():
    lines = table_latex(TABLE).splitlines()
    assert "\\caption{Accuracy in \\%, of a\\_b}" in lines
    assert "{}[x] | 50 \\% \\& more & 61.0 $\\pm$ 2.0 [58.1, 64.0] \\\\" in lines
    assert "y\\$ & \\textbf{$-$1.5} \\\\" in lines
    assert lines[-1] == "\\end{table}"


def test_files_are_written_and_stale_ones_taken_away(tmp_path):
    (tmp_path / "old.tex").write_text("")
    (tmp_path / "note.txt").write_text("")
    write_tables([TABLE], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"scores.csv", "scores.md", "scores.tex", "note.txt"}
    assert list(csv.DictReader((tmp_path / "scores.csv").open()))[1] == {"group": "y$", "accuracy": "-0.0151515"}


def test_a_run_leaves_its_tables(write_run):
    """Every fourth of 60 recordings is wrong, so 45 are right."""
    folder = write_run("a_$run", lambda number: number % 4 != 0)
    write_report(folder)
    names = ("scores", "folds", "speakers", "groups", "emotions", "confusion", "reliability")
    assert {path.name for path in (folder / "tables").iterdir()} == {
        f"{name}.{ending}" for name in names for ending in ("csv", "md", "tex")
    }
    accuracy = next(iter(csv.DictReader((folder / "tables" / "scores.csv").open())))
    assert accuracy["metric"] == "accuracy" and float(accuracy["pooled"]) == 0.75
    assert "| accuracy per recording | 75.0 ±" in (folder / "tables" / "scores.md").read_text()
    told = (folder / "tables" / "scores.tex").read_text()
    assert "\\caption{a\\_\\$run on toy, protocol recording." in told
    by_speaker = {row["group"]: row for row in csv.DictReader((folder / "tables" / "speakers.csv").open())}
    # Speaker 1 has the even recordings, of which every second is wrong; speaker 2 the odd ones, all right.
    assert (float(by_speaker["1"]["accuracy_per_recording"]), by_speaker["1"]["clips"]) == (0.5, "30")
    assert float(by_speaker["2"]["accuracy_per_recording"]) == 1
    groups = list(csv.DictReader((folder / "tables" / "groups.csv").open()))
    assert [row["by"] for row in groups] == ["duration"], "all are of one length, so one third holds all"
    page = (folder / "report.html").read_text()
    for section in ("groups", "calibration"):
        assert f'<section id="{section}">' in page and f'href="#{section}"' in page
    assert '<section id="dimensions">' not in page


def test_reliability_of_a_run(write_run):
    """Every answer has a probability of 0.8, and three of four are right."""
    results = read_results(write_run("run", lambda number: number % 4 != 0))
    (table,) = [each for each in run_tables(results) if each.name == "reliability"]
    assert table.rows == (("0.73 to 0.80", "60", "80.0", "75.0"),)
    assert "expected calibration error 0.050" in table.caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    (tmp_path / "t.tex").write_text(table_latex(TABLE))
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{t}\\end{document}"
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
