"""In which code page a text was written that does not say so: Unicode's encodings, else one of Windows.

The pages of Windows differ in what their upper 128 bytes mean, and nothing in a file tells which one it is. What tells
most is that the files it names are there, then that its words are labels, then that its letters make words.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import pairwise

from thymos.labels import to_emotion

UTF_8 = "UTF-8"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
# The letters beyond ASCII that are common in texts of each page; of Greek and Cyrillic, all that are common.
_COMMON = {
    "cp1252": "äöüßéèêàâçñáíóúãõåøæ",
    "cp1250": "ąćęłńóśźżčďěňřšťůžőűáéíý",
    "cp1253": "αάοόιίεέτσςνηήυύρπκμλώ",
    "cp1251": "оеаинтсрвлкмдпуяыьгзбчй",
    "cp1254": "ğışİöüç",
    "gb18030": "",
}
_CHINESE = "gb18030"
"""Of which all of GB 2312's first level is common; no page of Windows has its letters."""
_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "CJK")
_PUNCTUATION = "–—‘’“”„«»…·•\N{NO-BREAK SPACE}€™©®°"
_MOST_LINES = 200


def decoded(content: bytes, exists: Callable[[str], bool] = lambda name: False) -> tuple[str, str]:
    """Return the text of ``content`` and the name of its encoding.

    Args:
        content: a whole file.
        exists: whether a file of a name is there, for tables that name files.

    Raises:
        ValueError: it is no text.
    """
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return content.decode(codec), name
    if b"\0" in content:
        return content.decode(_utf_16_order(content)), "UTF-16"
    try:
        return content.decode("utf-8"), UTF_8
    except UnicodeDecodeError:
        page = _likeliest_page(content, exists)
    if page is None:
        raise ValueError("it is text in no encoding that is known")
    return content.decode(page), "GB 18030" if page == _CHINESE else f"Windows code page {page.removeprefix('cp')}"


def _utf_16_order(content: bytes) -> str:
    """Return the encoding of text in which every other byte is nought."""
    first, second = (content[:1000][at::2].count(0) for at in (0, 1))
    if len(content) % 2 or max(first, second) < min(len(content), 1000) // 4:
        raise ValueError("it is no text")
    return "utf-16-be" if first > second else "utf-16-le"


def _likeliest_page(content: bytes, exists: Callable[[str], bool]) -> str | None:
    lines = [line for line in content.splitlines() if not line.isascii()][:_MOST_LINES]
    best: tuple[tuple[int, int, float], str] | None = None
    for page in _COMMON:
        try:
            content.decode(page)
            cells = [cell for line in lines for cell in _cells(line.decode(page)) if not cell.isascii()]
        except UnicodeDecodeError:
            continue
        there = sum(map(exists, cells))
        known = sum(to_emotion(cell) is not None for cell in cells)
        score = (
            there,
            known,
            sum(_plausible(word, page) for cell in cells for word in re.split(r"[\s\d_/\\.()-]+", cell)),
        )
        if best is None or score > best[0]:
            best = score, page
    return best[1] if best else None


def _cells(line: str) -> Iterator[str]:
    for cell in re.split(r"[,;\t|]", line):
        yield cell.strip().strip('"').strip()


def _plausible(word: str, page: str) -> float:
    """Return how much ``word`` looks like one: letters of one script, the common ones of its page, capitals first."""
    letters = word.strip(_PUNCTUATION)
    if letters.isascii():
        return 0.0
    scripts = {_script(letter) for letter in letters}
    score = 1.5 - len(scripts) - 2.0 * ("" in scripts)
    score -= sum(before.islower() and after.isupper() for before, after in pairwise(letters))
    score -= "ς" in letters[:-1]  # which only ends a word
    beyond = [letter for letter in letters if not letter.isascii()]
    common = sum(_is_common(letter, page) for letter in beyond)
    if scripts == {"LATIN"} and len(beyond) > 0.6 * len(letters) and len(letters) > 2:
        score -= 2.0
    return score + common / len(beyond)


def _is_common(letter: str, page: str) -> bool:
    if page == _CHINESE:
        return 0xB0 <= letter.encode(page)[0] <= 0xD7 and _script(letter) == "CJK"
    return letter in _COMMON[page] or letter.lower() in _COMMON[page]


def _script(letter: str) -> str:
    if not letter.isalpha():
        return "" if letter not in "'’" else "LATIN"
    name = unicodedata.name(letter, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), "")
