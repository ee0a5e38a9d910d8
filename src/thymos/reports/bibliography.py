"""What a paper has to cite: the entries of ``templates/references.bib``, by key and by corpus."""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources

CORPORA = {
    "aesdd": "vryzas2018speech",
    "ravdess": "livingstone2018ryerson",
    "cremad": "cao2014crema",
    "emodb": "burkhardt2005database",
    "emodb2": "burkhardt2005database",
    "tess": "pichorafuller2020toronto",
    "savee": "haq2009speaker",
    "emovo": "costantini2014emovo",
    "nemo": "christop2024nemo",
    "ased": "retta2023new",
    "turev": "canpolat2020turkish",
    "turevdb": "canpolat2020turkish",
    "shemo": "nezami2019shemo",
    "subesco": "sultana2021sust",
    "mesd": "duville2021mexican",
    "cafe": "gournay2018canadian",
    "jlcorpus": "james2018open",
    "jl": "james2018open",
    "esd": "zhou2022emotional",
    "iemocap": "busso2008iemocap",
    "msppodcast": "lotfian2019building",
    "meld": "poria2019meld",
}
"""Key of a corpus, by its name in small letters and digits alone."""
_ENTRY = re.compile(r"^@\w+\{(\w+),\n(.*?)^\}$", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
_ACCENTS = {r"{\"o}": "ö", r"{\"e}": "ë", r"{\'e}": "é", r"{\'E}": "É", r"{\'\i}": "í", r"{\u{g}}": "ğ"}


def corpus_key(*names: str) -> str | None:
    """Return the key of the corpus that goes by one of ``names``; None if it is not known."""
    plain = (re.sub(r"[^a-z0-9]", "", name.casefold()) for name in names)
    return next((CORPORA[name] for name in plain if name in CORPORA), None)


def bibtex_of(keys: Iterable[str]) -> str:
    """Return the entries of ``keys`` as BibTeX, each once, in the order of the keys.

    Raises:
        KeyError: there is no such entry.
    """
    return "\n".join(_entries()[key] for key in dict.fromkeys(keys))


def author_and_year(key: str) -> tuple[str, str]:
    """Return whom a text names for ``key``, such as "Vryzas et al.", and the year.

    Raises:
        KeyError: there is no such entry.
    """
    fields = fields_of(key)
    names = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    for written, letter in _ACCENTS.items():
        names = [name.replace(written, letter) for name in names]
    shown = names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")
    return shown, fields["year"]


def fields_of(key: str) -> dict[str, str]:
    """Return the fields of the entry ``key`` as they are written.

    Raises:
        KeyError: there is no such entry.
    """
    return dict(_FIELD.findall(_entries()[key]))


@cache
def _entries() -> dict[str, str]:
    text = (resources.files("thymos.reports") / "templates" / "references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] + "\n" for found in _ENTRY.finditer(text)}
