"""What others wrote, such as names of files, tags and labels, made safe for a terminal, JSON, a table or a page.

Names may hold anything: line ends, codes that steer a terminal, marks that turn the direction of writing, bytes that
are no UTF-8 (which Python keeps as surrogates), formulas that a spreadsheet would run, and markup.
"""

import json
import re
from typing import Any

_JOINERS = "\u200c\u200d"
"""They have no form of their own, but belong to words and to emoji."""
_FORMULA = re.compile(r"(?s)'*[=+\-@\t\r\n].*")
"""What a spreadsheet would run, or what ``csv_cell`` made of such a cell."""
_MARKUP = (
    (re.compile(r"([`|])"), r"\\\1"),
    (re.compile(r"\](?=[(\[:])"), r"\\]"),  # of a link or an image; brackets alone are none
    (re.compile(r"&(?=#?\w+;)"), "&amp;"),
    (re.compile(r"<(?=[A-Za-z/!?])"), "&lt;"),
)
"""What Markdown takes for code, for a table's next cell, a link or HTML, and what stands for it."""


def printable(text: str) -> str:
    r"""Return ``text`` on one line as it can be shown anywhere: what is no letter, mark or space is escaped (``\x1b``).

    So is everything that would move the cursor, end the line, turn the direction of writing or be invisible.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else _escaped(letter) for letter in text)


def printable_lines(text: str) -> str:
    """Return ``text`` as ``printable`` does, its own line ends and tabs kept."""
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) or letter in "\n\t" else _escaped(letter) for letter in text)


def json_line(value: Any) -> str:
    """Return ``value`` as one line of JSON: readable, but with nothing in it that steers a terminal or is no UTF-8.

    Raises:
        ValueError: it holds NaN or infinity, which are not JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    # Outside its strings, JSON on one line is printable; inside them, this is what escapes look like.
    return "".join(letter if _is_shown(letter) else json.dumps(letter)[1:-1] for letter in text)


def csv_cell(text: str) -> str:
    """Return ``text`` so that a spreadsheet shows it: an apostrophe comes before what would be run as a formula.

    That is a cell that begins with ``= + - @``, a tab or a line end. ``from_csv_cell`` gives back what it was. Numbers
    are written as they are.

    Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{text}" if _FORMULA.fullmatch(text) else text


def from_csv_cell(text: str) -> str:
    """Return what ``csv_cell`` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.fullmatch(text) else text


def markdown(text: str) -> str:
    """Return ``text`` on one line of Markdown, in a table too, without code, links and HTML of others."""
    text = printable(" ".join(text.split()))
    for pattern, instead in _MARKUP:
        text = pattern.sub(instead, text)
    return text


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
