"""Which corpora are read by their names: every reader of one, and what is known of each."""

from collections.abc import Iterator

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
from thymos.corpora.readers.named_corpus import About, NamedCorpus

NAMED: tuple[NamedCorpus, ...] = tuple(
    module.READER
    for module in (
        ravdess, crema_d, emo_db, tess, savee, emovo, nemo, ased, turev_db, shemo, subesco, mesd, cafe, jl_corpus, esd,
        iemocap, msp_podcast, meld,
    )
)  # fmt: skip


def known_corpora() -> Iterator[About]:
    """Yield what is known of each corpus that is read by its name, AESDD first, then by the alphabet."""
    yield aesdd.ABOUT
    yield from sorted((reader.about for reader in NAMED), key=lambda about: about.name.casefold())
