"""The audit as files: a page to read, a table of clips to work on, and figures for a paper."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from thymos.corpora.audit import Audit, Histogram, audit_corpus, peak_db
from thymos.corpora.findings import channels_name, findings, printable, speaker_name
from thymos.corpora.opening import open_corpus
from thymos.corpora.table import Clip, Corpus, Exclusion
from thymos.errors import RunError
from thymos.escaping import csv_cell
from thymos.files import is_unfinished, write_json, write_text
from thymos.labels import DIMENSIONS
from thymos.reports.figures import ACCENT, INK, MUTED, SECOND, new_figure, plain_axes, save_figure
from thymos.reports.page import render
from thymos.scoring.results import describe_corpus, describe_files

TOLD_COLUMNS = ("corpus", "gender", "language", "intensity", *DIMENSIONS)
"""What a corpus may tell of a clip besides; cells are empty where it does not."""
CLIP_COLUMNS = (
    "path",
    "emotion",
    "speaker",
    "sentence",
    "take",
    "duration_s",
    "rate_hz",
    "channels",
    "format",
    "peak",
    "peak_db",
    "silence_s",
    "silence_share",
    "clipped_samples",
    "sha256",
    "problems",
    "split",
    "start_s",
    "end_s",
    "file",
    *TOLD_COLUMNS,
)
"""Of which ``file`` is relative to the table, so that the table itself is a corpus."""


FILES = {"audit.html", "audit.json", "clips.csv", "figures"}
"""All that the folder of an audit may hold."""
LONGEST_LEVEL_WORD = 10
"""Letters that fit under a column of a figure."""


def audit(
    corpus: Corpus | str | Path,
    out: str | Path | None = None,
    *,
    cache_dir: str | Path | None = None,
    formats: Sequence[str] = ("png",),
) -> Audit:
    """Return what a corpus holds and what is odd about it: broken files, copies, silence, outliers, gaps.

    Args:
        corpus: opened, or what ``open_corpus`` takes.
        out: a folder to write ``audit.html``, ``clips.csv`` and figures to; None writes nothing.
        cache_dir: as for ``open_corpus``.
        formats: of the figures, of ``files.FIGURE_FORMATS``.

    Raises:
        CorpusError: the corpus cannot be opened.
        RunError: ``out`` holds something else than an audit.
    """
    if out is not None:
        check_audit_folder(Path(out))
    found = audit_corpus(corpus if isinstance(corpus, Corpus) else open_corpus(corpus, cache_dir=cache_dir))
    if out is not None:
        write_audit(found, Path(out), formats)
    return found


def check_audit_folder(directory: Path) -> None:
    """Check that an audit may be written to ``directory``: it is new, empty, or holds an earlier one and nothing else.

    Raises:
        RunError: it holds something else.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise RunError(f"{directory} exists and is no folder; choose another --out")
    others = sorted(path.name for path in directory.iterdir() if path.name not in FILES and not is_unfinished(path))
    if others:
        raise RunError(f"{directory} holds {others[0]}, which is no part of an audit; choose another --out")


def write_audit(audit: Audit, directory: Path, formats: Sequence[str] = ("png",)) -> Path:
    """Write ``audit.html``, ``audit.json``, ``clips.csv`` and ``figures/``, in each of ``formats``; return the page's
    path."""
    save_figure(durations_figure(audit), directory / "figures" / "durations", formats)
    if audit.emotions:
        save_figure(counts_figure(audit), directory / "figures" / "counts", formats)
    write_text(directory / "clips.csv", clips_csv(audit, directory))
    write_json(directory / "audit.json", audit_facts(audit))
    page = directory / "audit.html"
    write_text(page, audit_page(audit))
    return page


def audit_facts(audit: Audit) -> dict[str, Any]:
    """Return what other programs ask of an audit: counts that add up, labels, and what is not used with its reason."""
    corpus = audit.corpus
    return {
        "format": 1,
        "corpus": describe_corpus(corpus) | describe_files(corpus) | {"labels": [asdict(use) for use in corpus.labels]},
        "excluded": [{"clip": each.clip, "reason": each.reason, "readable": each.readable} for each in corpus.excluded],
        "findings": {finding.name: len(finding.rows) for finding in findings(audit)},
    }


def clips_csv(audit: Audit, directory: Path = Path()) -> str:
    """Return a CSV table, to lie in ``directory``, with one row per listed file, in the order of their paths.

    Files that could not be used have their reason under ``problems`` and nothing under what was not measured. The table
    is a corpus itself: ``file`` is where each lies from ``directory``.
    """
    from_here = os.path.relpath(audit.corpus.root, directory.resolve())
    rows = [_clip_row(clip, audit, from_here) for clip in audit.corpus.clips]
    rows += [_exclusion_row(exclusion, from_here) for exclusion in audit.corpus.excluded]
    lines = io.StringIO()
    table = csv.DictWriter(lines, CLIP_COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rows, key=lambda row: row["path"]))
    return lines.getvalue()


def audit_page(audit: Audit) -> str:
    """Return the audit as one self-contained HTML page."""
    return render(
        "audit.html",
        title=printable(audit.corpus.root.name or str(audit.corpus.root)),
        audit=audit,
        findings=findings(audit),
        notes=[printable(note) for note in audit.corpus.notes],
        channels=[channels_name(channels) for channels in audit.channels],
        speakers=[(speaker, speaker_name(speaker)) for speaker in audit.speakers],
        largest_count=max(audit.counts.values()),
        bars=list(_bars(audit.histogram, audit.fences.duration_s.high)),
    )


def durations_figure(audit: Audit) -> Figure:
    """Return a histogram of the clips' lengths, with the median and the upper Tukey fence."""
    figure = new_figure()
    axes = figure.add_subplot()
    edges = np.array(audit.histogram.edges_s)
    axes.bar(edges[:-1], audit.histogram.counts, np.diff(edges), align="edge", color=ACCENT, edgecolor="white")
    axes.axvline(audit.durations.median_s, color=INK, linewidth=1.2)
    axes.annotate(
        f" median {audit.durations.median_s:.2f} s",
        (audit.durations.median_s, 0.97),
        xycoords=("data", "axes fraction"),
        fontsize=8,
        color=INK,
    )
    fence_s = audit.fences.duration_s.high
    if fence_s < edges[-1]:
        axes.axvline(fence_s, color=SECOND, linewidth=1.2, linestyle="--")
        axes.annotate(
            f" fence {fence_s:.2f} s: {len(audit.longest)} clips beyond",
            (fence_s, 0.97),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color=SECOND,
        )
    axes.set(xlabel="length of the clip, s", ylabel="clips", ylim=(0, 1.12 * max(audit.histogram.counts)))
    plain_axes(axes)
    return figure


def counts_figure(audit: Audit) -> Figure:
    """Return the number of clips per emotion and speaker as a heat table."""
    counts = np.array([[audit.count(emotion, speaker) for emotion in audit.emotions] for speaker in audit.speakers])
    rows, columns = counts.shape
    figure = new_figure((max(3.2, 1.6 + 0.85 * columns), 1.0 + 0.32 * rows))
    axes = figure.add_subplot()
    # Up to twice the largest count, so that the darkest cell still carries dark figures.
    axes.pcolormesh(counts, cmap="Blues", vmin=0, vmax=2 * counts.max(), edgecolor="white", linewidth=2)
    for row, column in np.ndindex(rows, columns):
        count = counts[row, column]
        colour = INK if count else MUTED
        axes.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", fontsize=8, color=colour)
    axes.invert_yaxis()
    axes.set_xticks(np.arange(columns) + 0.5, audit.emotions, parse_math=False)
    if max(map(len, audit.emotions)) > LONGEST_LEVEL_WORD:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(rows) + 0.5, [speaker_name(speaker) for speaker in audit.speakers])
    # A speaker's name comes from a file: a dollar sign in it is no formula.
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylabel("speaker")
    plain_axes(axes, grid="")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _clip_row(clip: Clip, audit: Audit, from_here: str) -> dict[str, str]:
    sound = clip.sound
    return {
        "path": printable(clip.path),
        "emotion": clip.emotion,
        "speaker": printable(clip.speaker),
        "sentence": printable(clip.sentence),
        "take": printable(clip.take),
        "duration_s": f"{sound.duration_s:.4f}",
        "rate_hz": str(sound.rate_hz),
        "channels": str(sound.channels),
        "format": sound.format,
        "peak": f"{sound.peak:.6f}",
        "peak_db": f"{peak_db(clip):.2f}" if sound.peak else "",
        "silence_s": f"{sound.silence_s:.4f}",
        "silence_share": f"{sound.silence_share:.4f}",
        "clipped_samples": str(sound.clipped_samples),
        "sha256": sound.sha256,
        "problems": "; ".join(map(printable, audit.problems.get(clip.path, []))),
        "split": clip.split,
        "start_s": f"{clip.start_s!r}" if clip.start_s else "",
        "end_s": "" if clip.end_s is None else f"{clip.end_s!r}",
        "file": csv_cell(Path(from_here, clip.lies_in).as_posix()),
        **{name: _cell(getattr(clip, name)) for name in TOLD_COLUMNS},
    }


def _cell(value: str | float | None) -> str:
    return "" if value is None else printable(value) if isinstance(value, str) else repr(value)


def _exclusion_row(exclusion: Exclusion, from_here: str) -> dict[str, str]:
    file = Path(from_here, printable(exclusion.clip)).as_posix()
    return {"path": printable(exclusion.clip), "problems": printable(exclusion.reason), "file": csv_cell(file)}


def _bars(histogram: Histogram, fence_s: float) -> Iterator[dict[str, object]]:
    """Yield what the page draws of each bin: its height as a share of the highest, and words for it."""
    most = max(histogram.counts)
    for low, high, count in zip(histogram.edges_s, histogram.edges_s[1:], histogram.counts, strict=False):
        yield {
            "height": count / most,
            "label": f"{low:g} to {high:g} s: {count} {'clip' if count == 1 else 'clips'}",
            "beyond": low >= fence_s,
        }
