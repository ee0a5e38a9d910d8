"""Which kind of corpus lies at a path, and what it lists: every recording there, with its label or a reason."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import ModuleType

from thymos.audio.search import FoundSounds, sounds_below, told_hidden
from thymos.config import nearest
from thymos.corpora.dialects import SUFFIXES
from thymos.corpora.in_tables import LISTED, in_parts, own_listing
from thymos.corpora.label_map import LabelMap
from thymos.corpora.readers import (
    aesdd,
    ased,
    cafe,
    crema_d,
    csv_table,
    emo_db,
    emovo,
    esd,
    folders,
    iemocap,
    jl_corpus,
    meld,
    mesd,
    msp_podcast,
    nemo,
    ravdess,
    savee,
    shemo,
    speaker_folders,
    subesco,
    tess,
    turev_db,
)
from thymos.corpora.readers.folders import Knows, relative_name
from thymos.corpora.readers.listed_files import Surroundings, split_of
from thymos.corpora.readers.named_corpus import KnownCorpus, NamedCorpus
from thymos.corpora.table import Exclusion, Listing, clip_names
from thymos.errors import CorpusAbsentError, CorpusError
from thymos.files import home_path, is_hidden

_PACKED = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
LEAST_SHARE = 0.5
"""A folder is a corpus by its name where more than this part of its recordings are named as that corpus's."""

NAMED: tuple[NamedCorpus, ...] = tuple(
    module.READER
    for module in (
        ravdess, crema_d, emo_db, tess, savee, emovo, nemo, ased, turev_db, shemo, subesco, mesd, cafe, jl_corpus, esd,
        iemocap, msp_podcast, meld,
    )
)  # fmt: skip
LAID_OUT: tuple[ModuleType, ...] = (aesdd, folders)
"""What is told by its folders and the names of its files; in the order in which they are asked, the most particular
first."""
NAMED_ALONE: tuple[ModuleType, ...] = (speaker_folders,)
"""What nothing tells from other kinds: read only where its kind is named."""
KINDS: dict[str, ModuleType] = {module.KIND: module for module in (*LISTED, *LAID_OUT, *NAMED_ALONE)}


def known_corpora() -> Iterator[KnownCorpus]:
    """Yield what is known of each corpus that is read by its name, AESDD first, then by the alphabet."""
    yield aesdd.ABOUT
    yield from sorted((reader.about for reader in NAMED), key=lambda about: about.name.casefold())


def formats() -> dict[str, str]:
    """Return the kinds of corpora that are no single corpus's, each with the first sentence of what its module says."""
    kinds = {kind: " ".join((module.__doc__ or "").split("\n\n")[0].split()) for kind, module in KINDS.items()}
    return {kind: said.rstrip(".").replace("`", "") for kind, said in kinds.items() if kind != aesdd.KIND}


def kind_and_path(spec: str) -> tuple[str | None, Path]:
    """Return what ``KIND:PATH`` or ``PATH`` names.

    Raises:
        CorpusError: there is no such kind.
    """
    kind, colon, rest = spec.partition(":")
    known = kind if kind in KINDS else kind_of(kind)
    if colon and known:
        return known, home_path(rest)
    if colon and not Path(spec).exists() and kind.replace("-", "").isidentifier() and len(kind) > 1:
        kinds = [*KINDS, *(reader.KIND for reader in NAMED)]
        close = nearest(kind, kinds) if "did you mean" in nearest(kind, kinds) else f"; known kinds: {', '.join(kinds)}"
        raise CorpusError(f"{kind!r} is no kind of corpus{close}")
    return None, home_path(spec)


def find_listing(kind: str | None, path: Path, label_map: LabelMap, where: Surroundings) -> Listing:
    """Return what the corpus at ``path`` lists.

    Args:
        kind: of corpus; None: it is recognised.
        path: a table, or a folder.
        label_map: which words are labels for certain.
        where: what the paths in a table are relative to, and where sound in one is kept.

    Raises:
        CorpusError: nothing there, or nothing that is recognised; the message says what was found instead.
    """
    # Who says that folders are labels need not name them for emotions that are known.
    knows: Knows = (lambda name: True) if kind in (folders.KIND, speaker_folders.KIND) else label_map.knows
    if not path.exists():
        raise CorpusAbsentError(f"{path} does not exist")
    if where.base is not None and not where.base.is_dir():
        raise CorpusError(f"{where.base} is no folder that the files of a table could be in")
    listing = _listed(kind, path, knows, where)
    if listing is not None:
        return listing
    if path.is_file():
        packed = path.suffix.lower() in _PACKED
        called = ", ".join(sorted({*SUFFIXES, ".parquet"}))
        said = "a packed archive: unpack it first" if packed else f"a file; a corpus is a folder or a table ({called})"
        raise CorpusError(f"{path} is {said}")
    may_have_parts = kind in (None, csv_table.KIND) and os.access(path, os.R_OK | os.X_OK)
    if may_have_parts and (where.base or where.columns) and (listing := in_parts(path, knows, where)):
        return listing
    if where.base is not None:
        raise CorpusError(f"{path} is no table: --root says what the paths in a table are relative to")
    if where.columns:
        raise CorpusError(f"{path} is no table: --columns says which columns of a table are read")
    if not os.access(path, os.R_OK | os.X_OK):
        raise CorpusError(f"{path} may not be read: permission denied")
    if kind in KINDS and KINDS[kind] in LISTED:
        raise CorpusError(f"{path} is not a corpus of kind {kind}")
    return _laid_out(kind, path, knows, where)


def _listed(kind: str | None, path: Path, knows: Knows, where: Surroundings) -> Listing | None:
    for module in LISTED:
        if kind in (None, module.KIND) and module.recognises(path, knows):
            if where.columns and module.KIND == "kaldi":
                raise CorpusError(f"{path} is of kind kaldi: its tables have no headings for --columns to name")
            listing: Listing = _split_by_folders(module.read(path, knows, where))
            return listing if path.is_file() or where.base is not None else _beside_tables(listing, path)
    return None


def _beside_tables(listing: Listing, path: Path) -> Listing:
    return _with_all(listing, sounds_below(path), path, "is named by no table", readable=True)


def _laid_out(kind: str | None, path: Path, knows: Knows, where: Surroundings) -> Listing:
    found = sounds_below(path)
    named = None if kind in KINDS else named_listing(kind, path, found.sounds)
    if named is not None:
        return _with_all(_split_by_folders(named), found, path, f"is no part of the corpus of kind {named.kind}")
    candidates = [KINDS[kind]] if kind else list(LAID_OUT)
    listing = _divided(candidates, path, found, knows) or _of_one(candidates, path, knows)
    if listing is None and kind is None and (of_tables := in_parts(path, knows, where)):
        return _beside_tables(of_tables, path)
    if listing is None:
        # AESDD's archive unpacks to a folder in a folder of the same name; either may be given.
        inner = [child for child in sorted(path.iterdir()) if child.is_dir() and not is_hidden(child.name)]
        listings = {child: one for child in inner if (one := _inside(kind, candidates, child, found, knows))}
        if kind is None and not listings:
            alone = [child for child in inner if any(module.recognises(child, knows) for module in LISTED)]
            if len(alone) == 1:  # an archive that unpacks to a folder in a folder
                return _beside_tables(_split_by_folders(own_listing(alone[0], knows, where)), path)
            listings = {child: Listing("", child) for child in alone}
        if len(listings) > 1:
            raise CorpusError(_several(path, list(listings)))
        listing = next(iter(listings.values()), None)
    if listing is None:
        raise CorpusError(f"{path} is not a corpus of kind {kind}" if kind else _unknown(path, found, knows))
    return _with_all(_split_by_folders(listing), found, path, f"is no part of the corpus of kind {listing.kind}")


def _inside(
    kind: str | None, candidates: Sequence[ModuleType], child: Path, found: FoundSounds, knows: Knows
) -> Listing | None:
    own = [sound for sound in found.sounds if sound.is_relative_to(child)]
    named = None if kind else named_listing(None, child, own)
    return named or _of_one(candidates, child, knows)


def _of_one(candidates: Sequence[ModuleType], path: Path, knows: Knows) -> Listing | None:
    for module in candidates:
        if module.recognises(path, knows):
            listing: Listing = module.read(path, knows)
            return listing
    return None


def _divided(candidates: Sequence[ModuleType], path: Path, found: FoundSounds, knows: Knows) -> Listing | None:
    """Read a corpus that lies in ``train/``, ``test/`` and the like: None where it does not."""
    inside = [sound.relative_to(path).parts for sound in found.sounds]
    parts = sorted({where[0] for where in inside if len(where) > 1})
    if not parts or not all(map(split_of, parts)) or not any(len(where) > 2 for where in inside):
        return None
    for module in candidates:
        if not any(module.recognises(path / part, knows) for part in parts):
            continue
        whole = Listing(module.KIND, path)
        for part in parts:
            listing = module.read(path / part, knows)
            inner = Path(os.path.relpath(listing.root, path)).as_posix()
            whole.entries.extend(
                replace(entry, path=f"{inner}/{entry.path}", split=entry.split or split_of(part))
                for entry in listing.entries
            )
            whole.excluded.extend(replace(each, clip=f"{inner}/{each.clip}") for each in listing.excluded)
            whole.notes.extend(listing.notes)
        return whole
    return None


def _split_by_folders(listing: Listing) -> Listing:
    """Return ``listing`` with the split of each entry, where all lie in folders of splits, at whatever depth, and none
    tells its own."""
    folders = [PurePosixPath(entry.lies_in).parts[:-1] for entry in listing.entries]
    splits = [next(filter(None, map(split_of, parts)), "") for parts in folders]
    if not all(splits) or len({*splits}) < 2 or any(entry.split for entry in listing.entries):
        return listing
    entries = [replace(entry, split=split) for entry, split in zip(listing.entries, splits, strict=True)]
    return replace(listing, entries=entries)


def _with_all(listing: Listing, found: FoundSounds, path: Path, why: str, readable: bool = False) -> Listing:
    """Return ``listing`` with what it says nothing of: recordings below ``path`` that it does not name, and notes."""
    inside = Path(os.path.relpath(listing.root, path))
    told = {os.path.normpath(inside / entry.lies_in) for entry in listing.entries}
    told |= {os.path.normpath(inside / each.clip) for each in listing.excluded}
    for sound in found.sounds:
        name = relative_name(sound, path)
        if name not in told:
            outside = Path(os.path.relpath(sound, listing.root)).as_posix()
            listing.excluded.append(Exclusion(outside, why, readable))
    for problem in found.problems:
        name = os.path.relpath(problem.filename, listing.root)
        listing.excluded.append(Exclusion(name, f"is a folder that cannot be listed: {problem.strerror}"))
    if hidden := told_hidden(found.hidden):
        listing.notes.append(hidden)
    if found.links:
        links = clip_names([relative_name(link, path) for link in found.links])
        listing.notes.append(f"not followed, since they lead up or to a folder that is read anyway: links {links}")
    if found.others:
        kinds = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in found.others.most_common(6))
        listing.notes.append(f"passed over, since not named like sound: {found.others.total()} files ({kinds})")
    return listing


def _several(path: Path, inner: Sequence[Path]) -> str:
    names = clip_names([folder.name for folder in inner])
    return (
        f"{path} holds {len(inner)} folders that are a corpus each: {names}; name one of them, or several where a "
        f"command takes them; if each is a speaker's, say speakers:{path}"
    )


def _unknown(path: Path, found: FoundSounds, knows: Knows) -> str:
    tables = [child.name for child in sorted(path.iterdir()) if csv_table.recognises(child, knows)]
    if found.sounds and tables:
        what = f"the table {tables[0]}" if len(tables) == 1 else f"tables ({clip_names(tables)})"
        return f"{path} is not a corpus by its folders or names; it has {what}: say {path / tables[0]}"
    if names := [folder.name for folder in folders.label_folders(path, knows)]:
        return (
            f"{path} is not a corpus: none of its folders ({clip_names(names)}) is named for an emotion that is known; "
            f"if their names are labels all the same, say folders:{path}"
        )
    said = f"{path} is not a corpus: it has no folders named for emotions, such as anger or sadness"
    if found.sounds:
        return f"{said}, only {len(found.sounds)} recordings; a table with columns file and emotion tells their labels"
    return f"{said}; it has the table {tables[0]}, which may be one" if tables else said


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
        if recognised is None or (share < 1 and _holds_several(root, files)):
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


def _holds_several(root: Path, files: Sequence[PurePosixPath]) -> bool:
    """Return whether the folders in ``root`` are several named corpora, one of which is much the largest."""
    folders: dict[str, list[PurePosixPath]] = {}
    for path in files:
        if len(path.parts) > 1:
            folders.setdefault(path.parts[0], []).append(PurePosixPath(*path.parts[1:]))
    readers = [_recognised(root / name, inside)[1] for name, inside in folders.items()]
    return len({reader.KIND for reader in readers if reader}) > 1


def _key(word: str) -> str:
    return word.casefold().replace("-", "").replace("_", "")
