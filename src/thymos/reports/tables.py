"""Tables for papers: as Markdown, as LaTeX in the manner of booktabs, and as CSV with all digits.

Those of a run are made from its ``results.json`` alone, for other programs, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thymos.escaping import markdown
from thymos.files import write_csv, write_text
from thymos.labels import in_order
from thymos.scoring.agreement import AGREEMENTS
from thymos.scoring.metrics import METRICS, Level
from thymos.scoring.paired import points
from thymos.scoring.results import LevelScores, Results, Spread, recipe_name

_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "±": r"$\pm$", "−": "$-$",
    "×": r"$\times$", "⌈": r"$\lceil$", "⌉": r"$\rceil$",
}  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """What a table says, to be written in several formats."""

    name: str
    """Of its files."""
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As a reader sees them: rounded, in percent, with intervals."""
    records: tuple[dict[str, Any], ...]
    """The same with all digits, in shares of one: columns of the CSV by name; the same in each."""
    bold: frozenset[tuple[int, int]] = field(default=frozenset())
    """Row and column of fields that stand out."""


def table_markdown(table: PaperTable) -> str:
    """Return ``table`` as Markdown, its caption above it."""
    lines = [f"| {' | '.join(map(in_field, table.headings))} |", "|---|" + "---:|" * (len(table.headings) - 1)]
    for number, row in enumerate(table.rows):
        fields = [in_field(text) for text in row]
        fields = [f"**{text}**" if (number, at) in table.bold else text for at, text in enumerate(fields)]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join([in_field(table.caption), "", *lines]) + "\n"


def table_latex(table: PaperTable) -> str:
    """Return ``table`` as a LaTeX table in the manner of booktabs, ready for ``\\input``."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{tex(table.caption)}}}",
        f"\\label{{tab:{table.name}}}",
        "\\begin{tabular}{l" + "r" * (len(table.headings) - 1) + "}",
        "\\toprule",
        " & ".join(map(tex, table.headings)) + " \\\\",
        "\\midrule",
    ]
    for number, row in enumerate(table.rows):
        fields = [tex(text) for text in row]
        if fields[0].startswith(("[", "*")):  # which would be an argument of the line break before it
            fields[0] = "{}" + fields[0]
        fields = [f"\\textbf{{{text}}}" if (number, at) in table.bold else text for at, text in enumerate(fields)]
        lines.append(" & ".join(fields) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def write_tables(tables: Sequence[PaperTable], folder: Path) -> None:
    """Write each of ``tables`` to ``folder`` as ``NAME.csv``, ``NAME.md`` and ``NAME.tex``; those of an earlier call
    that are not among them are taken away."""
    names = {table.name for table in tables}
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.suffix in (".csv", ".md", ".tex") and path.stem not in names:
            path.unlink()
    for table in tables:
        write_csv(folder / f"{table.name}.csv", table.records)
        write_text(folder / f"{table.name}.md", table_markdown(table))
        write_text(folder / f"{table.name}.tex", table_latex(table))


def in_field(text: str) -> str:
    """Return ``text`` on one line, with nothing in it that would end a Markdown table's field, or be markup."""
    return markdown(text)


def tex(text: str) -> str:
    """Return ``text`` with nothing in it that LaTeX would take for a command."""
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))


METRIC_NAMES = {
    "accuracy": "accuracy",
    "uar": "UAR",
    "macro_f1": "macro-F1",
    "ccc": "CCC",
    "pearson": "Pearson's r",
    "mae": "MAE",
}
_LEVELS: tuple[Level, ...] = ("recording", "segment")


def write_run_tables(results: Results, folder: Path) -> None:
    """Write every table of a run to ``folder``, as CSV, Markdown and LaTeX."""
    write_tables(run_tables(results), folder)


def run_tables(results: Results) -> list[PaperTable]:
    """Return the tables of a run that have rows: scores, folds, speakers, emotions, groups, confusion, calibration,
    sets, dimensions, trials of a search."""
    about = f"{recipe_name(results.recipe)} on {results.corpus.name}, protocol {results.protocol.name}"
    levels = [level for level in _LEVELS if level in results.levels]
    made = (
        _scores(results, levels),
        _folds(results, levels if results.labels else ()),
        *_grouped(results, levels),
        _emotions(results, levels),
        _confusion(results),
        _reliability(results),
        _sets(results),
        _dimensions(results),
        _trials(results),
    )
    return [
        PaperTable(table.name, f"{about}. {table.caption}", table.headings, table.rows, table.records)
        for table in made
        if table.rows
    ]


def spread_text(spread: Spread) -> str:
    """Return mean ± sd over folds and the 95 % interval, in percent: that of the mean, or of one fold's score."""
    sd = "" if spread.sd is None else f" ± {points(spread.sd)}"
    bounds = spread.mean_ci95 or spread.ci95
    return f"{points(spread.mean)}{sd}" + (f" [{points(bounds[0])}, {points(bounds[1])}]" if bounds else "")


def _scores(results: Results, levels: Sequence[Level]) -> PaperTable:
    rows, records = [], []
    for level in levels if results.summary else ():
        assert results.summary is not None
        summary = results.summary.at(level)
        for metric in METRICS:
            spread: Spread = getattr(summary, metric)
            name = f"{METRIC_NAMES[metric]} per {level}"
            rows.append((name, spread_text(spread), points(getattr(summary.pooled, metric))))
            records.append(
                {"metric": metric, "level": level, **_spread(spread), "pooled": getattr(summary.pooled, metric)}
            )
    caption = f"In %: mean ± sd over {len(results.folds)} folds [95 % interval of the mean, bootstrap over recordings]"
    return PaperTable(
        "scores",
        f"{caption}; pooled: all folds scored together.",
        ("metric", "mean", "pooled"),
        tuple(rows),
        tuple(records),
    )


def _spread(spread: Spread) -> dict[str, Any]:
    low, high = spread.mean_ci95 or (None, None)
    pooled_low, pooled_high = spread.ci95 or (None, None)
    return {
        "mean": spread.mean,
        "sd": spread.sd,
        "mean_ci_low": low,
        "mean_ci_high": high,
        "pooled_ci_low": pooled_low,
        "pooled_ci_high": pooled_high,
    }


def _folds(results: Results, levels: Sequence[Level]) -> PaperTable:
    rows = tuple(
        (fold.name, str(fold.train_clips), str(fold.test_clips), *_shares([fold.at(level) for level in levels]))
        for fold in results.folds
    )
    records = tuple(
        {
            "fold": fold.name,
            "train_clips": fold.train_clips,
            "test_clips": fold.test_clips,
            **_fields({level: fold.at(level) for level in levels}),
        }
        for fold in results.folds
    )
    return PaperTable("folds", "By fold; scores in %.", ("fold", "train", "test", *_headings(levels)), rows, records)


def _grouped(results: Results, levels: Sequence[Level]) -> Iterator[PaperTable]:
    speakers = [("speaker", row.speaker, row) for row in results.per_speaker]
    groups = [(row.by, row.group, row) for row in results.per_group]
    for name, caption, own in (
        ("speakers", "By speaker, over all folds; scores in %, with the 95 % interval of the accuracy.", speakers),
        ("groups", "By what recordings have in common; scores in %, with the 95 % interval of the accuracy.", groups),
    ):
        rows, records = [], []
        for by, group, row in own:
            bounds = row.recording.accuracy_ci95
            interval = f"{points(bounds[0])} to {points(bounds[1])}" if bounds else ""
            called = group if name == "speakers" else f"{by}: {group}"
            rows.append((called, str(row.clips), interval, *_shares([row.at(level) for level in levels])))
            low, high = bounds or (None, None)
            fields = _fields({level: row.at(level) for level in levels})
            records.append(
                {
                    "by": by,
                    "group": group,
                    "clips": row.clips,
                    **fields,
                    "accuracy_ci_low": low,
                    "accuracy_ci_high": high,
                }
            )
        heading = ("group", "clips", "95 % interval", *_headings(levels))
        yield PaperTable(name, caption, heading, tuple(rows), tuple(records))


def _emotions(results: Results, levels: Sequence[Level]) -> PaperTable:
    names = ("recall", "precision", "f1")
    headings = tuple(_called(name if name != "f1" else "F1", level, levels) for level in levels for name in names)
    rows, records = [], []
    for row in results.per_emotion:
        clips = results.corpus.emotions.get(row.emotion)
        found = {f"{name}_per_{level}": getattr(row.at(level), name) for level in levels for name in names}
        shown = ("–" if value is None else points(value) for value in found.values())
        rows.append((row.emotion, "–" if clips is None else str(clips), *shown))
        records.append({"emotion": row.emotion, "clips": clips, **found})
    return PaperTable(
        "emotions", "By emotion, over all folds; in %.", ("emotion", "clips", *headings), tuple(rows), tuple(records)
    )


def _confusion(results: Results) -> PaperTable:
    counts = results.confusion.recording if results.confusion else []
    rows = tuple((label, *map(str, row)) for label, row in zip(results.labels, counts, strict=True))
    records = tuple(
        {"truth": label, **dict(zip(results.labels, row, strict=True))}
        for label, row in zip(results.labels, counts, strict=True)
    )
    repeats = f", in {results.protocol.repeats} repeats" if results.protocol.repeats > 1 else ""
    caption = f"Confusion over all folds{repeats}: rows truth, columns prediction, counts of recordings."
    return PaperTable("confusion", caption, ("truth", *results.labels), rows, records)


def _reliability(results: Results) -> PaperTable:
    bins = (results.confidence or {}).get("reliability", [])
    rows = tuple(
        (f"{at['low']:.2f} to {at['high']:.2f}", str(at["rows"]), points(at["confidence"]), points(at["accuracy"]))
        for at in bins
    )
    caption = (
        "Reliability: of recordings by the probability of their answer, its mean and the share that is right, in %"
    )
    if bins and results.confidence:
        ece = results.confidence["ece"]
        caption += f"; expected calibration error {ece['value']:.3f}, {ece['if_calibrated']:.3f} by chance alone"
    return PaperTable("reliability", f"{caption}.", ("probability", "recordings", "mean", "right"), rows, tuple(bins))


def _sets(results: Results) -> PaperTable:
    told = results.calibration or {}
    found = [("all", "all", told["sets"])] if "sets" in told else []
    found += [("speaker", word, quality) for word, quality in told.get("sets_by_speaker", {}).items()]
    by_emotion = told.get("sets_by_emotion", {})
    found += [("emotion", word, by_emotion[word]) for word in in_order(by_emotion)]
    found += [(row["by"], row["group"], row) for row in told.get("sets_by_group", [])]
    fields = ("rows", "coverage", "mean_size", "singletons")
    rows = tuple(
        (
            name if by == "all" else f"{by}: {name}",
            str(own["rows"]),
            points(own["coverage"]),
            f"{own['mean_size']:.2f}",
            points(own["singletons"]),
        )
        for by, name, own in found
    )
    records = tuple({"by": by, "group": name, **{key: own[key] for key in fields}} for by, name, own in found)
    asked = f" of {100 * told['asked_coverage']:.0f} % asked for" if "asked_coverage" in told else ""
    caption = f"Prediction sets{asked}: how often they hold the truth, emotions in a set, sets of one emotion."
    return PaperTable("sets", caption, ("recordings", "count", "coverage, %", "mean size", "of one, %"), rows, records)


def _dimensions(results: Results) -> PaperTable:
    rows, records = [], []
    for row in results.per_dimension:
        spreads: dict[str, Spread] = {metric: getattr(row, metric) for metric in AGREEMENTS}
        rows.append((row.dimension, str(row.recordings), *map(dimension_text, spreads.values())))
        found = {
            f"{metric}_{key}": value for metric, spread in spreads.items() for key, value in _spread(spread).items()
        }
        records.append({"dimension": row.dimension, "recordings": row.recordings, **found})
    caption = (
        "Dimensions, by ridge regression: mean ± sd over folds [95 % interval of the mean]; MAE on the corpus's scale."
    )
    heading = ("dimension", "recordings", *(METRIC_NAMES[metric] for metric in AGREEMENTS))
    return PaperTable("dimensions", caption, heading, tuple(rows), tuple(records))


def _trials(results: Results) -> PaperTable:
    search = (results.model_extra or {}).get("search") or {}
    keys, metric = list(search.get("space", {})), METRIC_NAMES.get(search.get("metric", ""), "")
    chosen = {(each["fold"], each["trial"]) for each in search.get("chosen", [])}
    rows, records = [], []
    for trial in search.get("tried", []):
        is_chosen = (trial["fold"], trial["trial"]) in chosen
        values = (
            f"{value:.4g}" if isinstance(value, float) else str(value) for value in map(trial["settings"].get, keys)
        )
        score = points(trial["score"]) if trial["score"] is not None else f"failed: {trial['failed']}"
        rows.append((f"{trial['fold']}, {trial['trial']}", *values, score, "chosen" if is_chosen else ""))
        told = {"fold": trial["fold"], "trial": trial["trial"], **trial["settings"], "score": trial["score"]}
        records.append({**told, "failed": trial["failed"], "chosen": is_chosen})
    caption = (
        f"Trials of the search, on inner folds of each training part: {metric} in %; the best was fitted and tested."
    )
    return PaperTable("trials", caption, ("fold, trial", *keys, metric, ""), tuple(rows), tuple(records))


def dimension_text(spread: Spread) -> str:
    """Return mean ± sd over folds and the interval of the mean, as numbers."""
    sd = "" if spread.sd is None else f" ± {spread.sd:.3f}"
    bounds = spread.mean_ci95 or spread.ci95
    text = f"{spread.mean:.3f}{sd}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")
    return text.replace("-", "−")


def _headings(levels: Sequence[Level]) -> tuple[str, ...]:
    return tuple(_called(METRIC_NAMES[metric], level, levels) for level in levels for metric in METRICS)


def _called(name: str, level: Level, levels: Sequence[Level]) -> str:
    return name if len(levels) == 1 else f"{name} per {level}"


def _shares(found: Sequence[LevelScores]) -> tuple[str, ...]:
    return tuple(points(getattr(own, metric)) for own in found for metric in METRICS)


def _fields(found: dict[Level, Any]) -> dict[str, float]:
    return {f"{metric}_per_{level}": getattr(own, metric) for level, own in found.items() for metric in METRICS}
