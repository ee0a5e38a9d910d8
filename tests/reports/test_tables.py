"""Tables for papers: Markdown, LaTeX and CSV say the same, whatever letters are in them."""

import csv
import shutil
import subprocess
from dataclasses import replace

import pytest

from thymos.encoder.experiment import EncoderExperiment
from thymos.evaluation.evaluate import evaluate
from thymos.reports.run_report import write_report
from thymos.reports.tables import PaperTable, run_tables, table_latex, table_markdown, write_tables
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_calibrated_run_tells_its_sets_by_group(tone_corpus, toy_recipe, tones_cache, tmp_path):
    """Of tones; two of the four speakers are said to be female."""
    clips = tuple(replace(each, gender="female" if each.speaker in "12" else "male") for each in tone_corpus.clips)
    experiment = EncoderExperiment(toy_recipe(speeds=[1.0], calibrated=True))
    evaluate(
        replace(tone_corpus, clips=clips), experiment, folds=2, out=tmp_path / "run", cache_dir=tones_cache, threads=1
    )
    page = write_report(tmp_path / "run", ("svg",)).read_text()
    results = read_results(tmp_path / "run")
    assert results.calibration is not None and results.confidence is not None
    assert results.confidence["ece"] == results.calibration["ece_after"], "of the probabilities as they were given out"
    sets = list(csv.DictReader((tmp_path / "run" / "tables" / "sets.csv").open()))
    by_gender = {row["group"]: int(row["rows"]) for row in sets if row["by"] == "gender"}
    assert by_gender == {"female": 18, "male": 18}
    covered = sum(float(row["coverage"]) * int(row["rows"]) for row in sets if row["by"] == "gender")
    assert covered == pytest.approx(36 * results.calibration["sets"]["coverage"], abs=1e-4)
    assert [row.group for row in results.per_group if row.by == "gender"] == ["female", "male"]
    assert "<h3>Prediction sets</h3>" in page and "Before calibration it was" in page
    assert (tmp_path / "run" / "figures" / "reliability.svg").is_file()


@pytest.mark.slow
def test_figures_of_the_audit_are_written_as_asked(thymos_here, mini, tmp_path):
    done = thymos_here("audit", mini, "--out", tmp_path / "audit", "--figures", "pdf", "--quiet")
    assert done.returncode == 0, done.stderr
    drawn = sorted(path.name for path in (tmp_path / "audit" / "figures").iterdir())
    assert drawn == ["counts.pdf", "durations.pdf"]
    for command in ("audit", "evaluate"):
        wrong = thymos_here(command, mini, "--out", tmp_path / command / "x", "--figures", "gif")
        assert wrong.returncode == 2 and "not as gif" in wrong.stderr
        assert not (tmp_path / command / "x").exists()
