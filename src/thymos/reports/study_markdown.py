"""The table of a study as Markdown, for a paper's draft or a repository's docs; made from ``study.json`` alone."""

from itertools import groupby
from typing import Any


def study_markdown(study: dict[str, Any]) -> str:
    """Return the table of ``study``, a section for each group of rows, and the verdict of each comparison."""
    parts = []
    for group, rows in groupby(study["rows"], key=lambda row: row["group"]):
        parts.append(f"### {group}\n\n" + _table(list(rows)))
    return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    columns = ("row", "protocol, folds", "per segment", "per recording", "UAR per recording", "published", "compared")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [row["row"], row["protocol"], f"failed: {row['failed']}", "", "", "", ""]
        if not row["failed"]:
            segment, recording = row["summary"]["segment"], row["summary"]["recording"]
            cells = [
                row["row"],
                f"{row['protocol']}, {row['repeats']} × {row['folds']}",
                _score(segment["accuracy"]),
                _score(recording["accuracy"]),
                _score(recording["uar"]),
                _published(row["published"]),
                _verdict(row["comparison"]),
            ]
        lines.append("| " + " | ".join(map(_in_cell, cells)) + " |")
    return "\n".join(lines)


def _in_cell(text: str) -> str:
    """Return ``text`` on one line, with nothing in it that would end a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _score(score: dict[str, Any]) -> str:
    """Mean ± sd over folds, and the 95 % interval, in percent."""
    spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    low, high = score["ci95"]
    return f"{100 * score['mean']:.1f}{spread} [{100 * low:.1f}, {100 * high:.1f}]"


def _published(published: dict[str, Any] | None) -> str:
    if not published:
        return ""
    return f"{published['accuracy']:.1f}" + (f" ± {published['sd']:.1f}" if published.get("sd") is not None else "")


def _verdict(comparison: dict[str, Any] | None) -> str:
    if not comparison:
        return ""
    return str(comparison["none_because"] or comparison["sentence"])
