"""The corpora that the field knows by name: which are known, and which of them lies at a path."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from thymos.corpora.readers import (
    aesdd,
    ased,
    cafe,
    crema_d,
    emo_db,
    emovo,
    esd,
    iemocap,
    jl_corpus,
    meld,
    mesd,
    msp_podcast,
    nemo,
    ravdess,
    savee,
    shemo,
    subesco,
    tess,
    turev_db,
)
from thymos.corpora.readers.named_corpus import KnownCorpus, NamedCorpus
from thymos.corpora.table import Listing
from thymos.errors import CorpusError

LEAST_SHARE = 0.5
"""A folder is a corpus by its name where more than this part of its recordings are named as that corpus's."""

NAMED: tuple[NamedCorpus, ...] = tuple(
    module.READER
    for module in (
        ravdess, crema_d, emo_db, tess, savee, emovo, nemo, ased, turev_db, shemo, subesco, mesd, cafe, jl_corpus, esd,
        iemocap, msp_podcast, meld,
    )
)  # fmt: skip


def known_corpora() -> Iterator[KnownCorpus]:
    """Yield what is known of each corpus that is read by its name, AESDD first, then by the alphabet."""
    yield aesdd.ABOUT
    yield from sorted((reader.about for reader in NAMED), key=lambda about: about.name.casefold())


def as_markdown(known: Iterable[KnownCorpus]) -> str:
    """Return a table of what is known of corpora, and a line on what each reader expects, for the documentation."""
    rows = [("corpus", "prefix", "languages", "clips", "hours", "speakers", "emotions", "licence")]
    rows.append(("---", "---", "---", "---:", "---:", "---:", "---", "---"))
    expected = []
    for corpus in known:
        numbers = (str(corpus.clips), f"{corpus.hours:g}", str(corpus.speakers))
        name, languages, emotions = f"[{corpus.name}]({corpus.source})", ", ".join(corpus.languages), corpus.emotions
        rows.append((name, f"`{corpus.kind}`", languages, *numbers, ", ".join(emotions), corpus.licence))
        note = f" {corpus.note[0].upper()}{corpus.note[1:]}." if corpus.note else ""
        expected.append(f"- `{corpus.kind}` ({corpus.paper}): {corpus.expects}.{note}")
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", *expected])


def kind_of(word: str) -> str | None:
    """Return the kind of the named corpus that ``word`` is the prefix of, however it is spelled; None: of none."""
    key = _key(word)
    return next((reader.KIND for reader in NAMED if key == _key(reader.KIND)), None)


def named_listing(kind: str | None, root: Path, sounds: Sequence[Path]) -> Listing | None:
    """Return what the named corpus at ``root`` lists.

    Args:
        kind: of a named corpus; None: it is recognised by the names of its recordings.
        root: its folder, or one that it lies in.
        sounds: all recordings below it.

    Returns:
        None where they are no named corpus's, or several corpora's.

    Raises:
        CorpusError: two corpora fit alike, or ``kind`` does not fit at all.
    """
    files = [PurePosixPath(path.relative_to(root).as_posix()) for path in sounds]
    if kind is None:
        share, recognised = _recognised(root, files)
        if recognised is None or (share < 1 and _several(root, files)):
            return None
        reader = recognised
    else:
        reader = next(each for each in NAMED if kind == each.KIND)
        if not reader.fits(root, files):
            raise CorpusError(f"{root} is not {reader.about.name}: it expects {reader.about.expects}")
    return reader.read(root, files)


def _recognised(root: Path, files: Sequence[PurePosixPath]) -> tuple[float, NamedCorpus | None]:
    """Return whose recordings most of ``files`` are, and what part of them is."""
    shares = [(reader.fits(root, files), reader) for reader in NAMED] if files else []
    best = max((share for share, _ in shares), default=0.0)
    if best <= LEAST_SHARE:
        return best, None
    fitting = [reader for share, reader in shares if share == best]
    if len(fitting) > 1:
        names = " and ".join(reader.about.name for reader in fitting)
        said = " or ".join(f"{reader.KIND}:{root}" for reader in fitting)
        raise CorpusError(f"the files in {root} are named as those of {names}: say {said}")
    return best, fitting[0]


def _several(root: Path, files: Sequence[PurePosixPath]) -> bool:
    """Return whether the folders in ``root`` are several named corpora, one of which is much the largest."""
    folders: dict[str, list[PurePosixPath]] = {}
    for path in files:
        if len(path.parts) > 1:
            folders.setdefault(path.parts[0], []).append(PurePosixPath(*path.parts[1:]))
    readers = [_recognised(root / name, inside)[1] for name, inside in folders.items()]
    return len({reader.KIND for reader in readers if reader}) > 1


def _key(word: str) -> str:
    return word.casefold().replace("-", "").replace("_", "")
