"""The page of a study, made from its ``study.json`` alone, and the report of each of its rows."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from thymos.errors import RunError
from thymos.files import write_text
from thymos.reports import study_figures as figures
from thymos.reports.page import render
from thymos.reports.run_report import write_report
from thymos.reports.study_markdown import study_markdown

FORMAT = 1
"""The version of ``study.json`` that this module reads."""


def write_study_report(out: Path) -> Path:
    """Write ``study.html`` and ``study.md`` into a finished study's folder, and ``report.html`` into each row's.

    Returns:
        The path of ``study.html``.

    Raises:
        RunError: study.json, or a row's results.json, is missing, damaged or of another format.
    """
    study = read_study(out)
    for row in study["rows"]:
        if not row["failed"]:
            write_report(out / "rows" / row["slug"])
    write_text(out / "study.md", study_markdown(study))
    path = out / "study.html"
    write_text(path, study_page(study))
    return path


def read_study(out: Path) -> dict[str, Any]:
    """Read ``out/study.json``.

    Raises:
        RunError: it is missing, is no JSON, or has another format.
    """
    path = out / "study.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{out} holds no study.json: the study has not finished there") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path} is damaged, or of another format than {FORMAT}, which this version of Thymos reads")
    return content


def study_page(study: dict[str, Any]) -> str:
    """Return the page of ``study``, the content of ``study.json``. All that hangs on time stands in one line of it."""
    rows: list[dict[str, Any]] = study["rows"]
    chance = 1 / len(study["corpus"]["emotions"])
    return render(
        "study.html",
        study=study,
        title=f"{study['name']} · {study['corpus']['name']}",
        groups=[(title, list(members)) for title, members in groupby(rows, key=lambda row: row["group"])],
        chance=chance,
        forest=figures.forest(rows, chance),
        curves={measure: figures.curve_plots(rows, measure) for measure in ("accuracy", "loss")},
        stray=figures.stray_plots(rows),
        shown=[row for row in rows if _compared(row) and row["comparison"]["shown"]],
        not_shown=[row for row in rows if _compared(row) and not row["comparison"]["shown"]],
        not_compared=[row for row in rows if row["comparison"] and not _compared(row)],
        failed=[row for row in rows if row["failed"]],
        size=figures,
    )


def _compared(row: dict[str, Any]) -> bool:
    return bool(row["comparison"]) and row["comparison"]["none_because"] is None
