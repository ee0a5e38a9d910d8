"""How answers look in a notebook: small pieces of HTML without scripts, in which every word of others is escaped."""

import html
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from thymos.errors import MissingExtraError
from thymos.escaping import printable
from thymos.runtime.prediction import LEAST_SHARE, NONE_HEARD, Prediction, Timeline, most_probable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "anger": "#d55e00", "disgust": "#009e73", "fear": "#cc79a7", "happiness": "#e8d21d", "sadness": "#0072b2",
    "neutral": "#8c8c8c", "surprise": "#56b4e9",
}  # fmt: skip
"""Okabe and Ito's, which the colour-blind tell apart; those of the server's page."""
OTHERS = ("#e69f00", "#7f5af0", "#5b8c00", "#a05195", "#3d5a80")
_CELL = "padding:0.1em 0.8em 0.1em 0;text-align:left;vertical-align:top"


def colour_of(emotion: str, labels: Sequence[str]) -> str:
    """Return the colour of one of ``labels``: the same wherever the same labels are told apart."""
    if emotion in COLOURS:
        return COLOURS[emotion]
    others = [label for label in labels if label not in COLOURS]
    return OTHERS[others.index(emotion) % len(OTHERS) if emotion in others else 0]


def timeline_html(timeline: Timeline) -> str:
    """Return the timeline as a strip, coloured and with words, and a line for each emotion's share under it."""
    labels = sorted({at.emotion for at in timeline.stretches if at.emotion is not None})
    parts = []
    for at in timeline.stretches:
        width = 100 * (at.end_s - at.start_s) / max(timeline.duration_s, 1e-9)
        said = at.emotion or NONE_HEARD
        sure = "" if at.probability is None else f" {at.probability:.2f}"
        ground = "transparent" if at.emotion is None else colour_of(at.emotion, labels)
        shown = "" if at.emotion is None else _safe(said)
        parts.append(
            f'<span title="{_safe(f"{at.start_s:.2f} – {at.end_s:.2f} s: {said}{sure}")}" style="width:{width:.3f}%;'
            f'background:{ground};color:#111;overflow:hidden;white-space:nowrap;padding:0.2em 0">{shown}</span>'
        )
    strip = f'<div style="display:flex;border:1px solid #999;max-width:60em">{"".join(parts)}</div>'
    shares = ", ".join(f"{_safe(word)} {share:.0%}" for word, share in timeline.shares.items() if share >= LEAST_SHARE)
    return f"<div>{strip}<div>0 – {timeline.duration_s:.1f} s{f': {shares}' if shares else ''}</div></div>"


def prediction_html(prediction: Prediction) -> str:
    """Return the answer: its line, a bar for each emotion, and the timeline where there is one."""
    probabilities = prediction.probabilities or {}
    best = most_probable(prediction.probabilities)
    bars = "".join(
        f'<tr><td style="{_CELL}">{_safe(word)}</td><td style="{_CELL}">{share:.2f}</td><td style="{_CELL};width:16em">'
        f'<div style="background:{colour_of(word, tuple(probabilities))};width:{100 * share:.1f}%;height:0.9em"></div>'
        f"</td></tr>"
        for word, share in probabilities.items()
    )
    strip = "" if prediction.timeline is None else timeline_html(prediction.timeline)
    said = _safe(str(prediction))
    told = f"<b>{_safe(best or NONE_HEARD)}</b> · {said}" if best or prediction.probabilities is None else said
    head = f"{told} · {_safe(prediction.model)}"
    return f"<div><div>{head}</div>{f'<table>{bars}</table>' if bars else ''}{strip}</div>"


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """Return a title and a table of two columns: what, and how much."""
    return f"<div><b>{_safe(title)}</b>{table_html((), facts.items())}</div>"


def table_html(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table; a head without words is left out."""

    def line(tag: str, cells: Iterable[Any]) -> str:
        return "<tr>" + "".join(f'<{tag} style="{_CELL}">{_safe(str(cell))}</{tag}>' for cell in cells) + "</tr>"

    lines = [*([line("th", head)] if head else []), *(line("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def let_notebooks_show(last: "Axes | Figure", figure: "Figure") -> None:
    """Let a notebook show ``figure`` where a cell ends with ``last``, which is it or in it.

    By themselves notebooks show the figures of pyplot alone, which belong to windows.
    """
    setattr(last, "_repr_png_", partial(_as_png, figure))  # noqa: B010 - matplotlib's classes do not declare it


def _as_png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_timeline(timeline: Timeline, axes: "Axes | None" = None) -> "Axes":
    """Draw the timeline: a band of stretches, and above it each emotion's probability in the windows.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("figures need matplotlib: pip install 'thymos[plots]'") from None
    if axes is None:
        figure = Figure(figsize=(9, 3), layout="constrained")
        axes = figure.add_subplot()
        let_notebooks_show(axes, figure)
    heard = [window for window in timeline.windows if window.probabilities is not None]
    words = sorted({*(word for window in heard for word in window.probabilities or {})} | {
        at.emotion for at in timeline.stretches if at.emotion is not None
    })  # fmt: skip
    for word in words:
        places = [(window.start_s + window.end_s) / 2 for window in heard]
        shares = [(window.probabilities or {}).get(word, 0.0) for window in heard]
        marker = "o" if len(heard) == 1 else None
        # A label that begins with "_" would be left out of the legend.
        axes.plot(places, shares, color=colour_of(word, words), marker=marker, label=_plain(word))
    for at in timeline.stretches:
        if at.emotion is not None:
            axes.axvspan(at.start_s, at.end_s, -0.0, 0.12, color=colour_of(at.emotion, words), lw=0)
    axes.set(xlim=(0, max(timeline.duration_s, 1e-3)), ylim=(-0.15, 1), xlabel="s", ylabel="probability")
    if words:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return axes


def _plain(text: str) -> str:
    """Return ``text`` so that matplotlib sets it as it is: no formula, no hidden label."""
    shown = printable(text).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown


def _safe(text: str) -> str:
    return html.escape(printable(text))
