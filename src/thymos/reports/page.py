"""HTML pages that are one file: every style and figure inside, nothing fetched, no scripts."""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **context: object) -> str:
    """Return the package's ``template`` filled in. Every value is escaped; a missing one is an error.

    Besides Jinja's own, templates have the filters ``data_uri``, ``percent`` (0.6312 as "63.1 %") and
    ``clock`` (seconds as "3 h 05 min").
    """
    return _environment().get_template(template).render(context)


def data_uri(png: Path | bytes) -> str:
    """Return a PNG, or the file that holds it, as a ``data:`` address for an ``img``."""
    content = png.read_bytes() if isinstance(png, Path) else png
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of one as a percentage, or a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def clock(seconds: float) -> str:
    """Return a length of time in the units a reader would choose: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\N{NO-BREAK SPACE}min {rest_s:02d}\N{NO-BREAK SPACE}s"
    hours, rest_min = divmod(round(seconds / 60), 60)
    return f"{hours}\N{NO-BREAK SPACE}h {rest_min:02d}\N{NO-BREAK SPACE}min"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("thymos.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=data_uri, percent=percent, clock=clock)
    return environment
