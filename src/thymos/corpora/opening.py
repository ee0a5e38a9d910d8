"""From what a user writes on the command line to a Corpus."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from thymos.cache import default_cache_dir
from thymos.corpora.finding import find_listing, kind_and_path
from thymos.corpora.folds import with_shared_sound
from thymos.corpora.headings import chosen_columns
from thymos.corpora.label_map import LabelMap, Rules
from thymos.corpora.measure import measure_entries
from thymos.corpora.readers.listed_files import Surroundings
from thymos.corpora.table import Clip, ClipEntry, Corpus, Exclusion, KeptWaveforms, clip_names, summed_uses
from thymos.errors import CorpusError
from thymos.files import home_path
from thymos.labels import speaker_key


def open_corpus(
    spec: str | Path,
    *,
    labels: LabelMap | Rules | str | Path | None = None,
    root: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    cache_dir: str | Path | None = None,
    started: Callable[[int], None] = lambda total: None,
    advance: Callable[[], None] = lambda: None,
    keep: bool = False,
) -> Corpus:
    """Read the corpus at ``spec``: a path, or ``KIND:PATH``. Every file is decoded once and measured.

    Files that cannot be used are not an error: they are in ``excluded``, each with its reason.

    Args:
        spec: a folder whose kind is recognised, a table with columns of files and emotions, or either with its kind
            named, such as ``aesdd:PATH``, ``folders:PATH`` or ``csv:PATH``; ``corpora.finding.KINDS`` has them all.
        labels: what labels count as, such as ``{"angry": "anger", "boredom": ""}``, or the YAML file of such a map: the
            empty string leaves clips out. Known words of ten languages are recognised without it, and all others stay
            as they are; ``Corpus.labels`` counts them.
        root: the folder that the paths in a table are relative to; None: its own.
        columns: which columns of a table are read, where it has several that could be, such as
            ``{"emotion": "label2", "speaker": "spk"}``; ``corpora.headings.SYNONYMS`` has what may be named.
        cache_dir: where measurements are kept between calls; None is the user's own (``default_cache_dir``).
        started: called with the number of files before the first is measured.
        advance: called after each.
        keep: whether what had to be decoded stays in memory, up to a bound, for features that are made next.

    Raises:
        CorpusError: nothing there, no known kind, no usable clip, no map of labels, or no such column.
    """
    label_map = labels if isinstance(labels, LabelMap) else LabelMap(labels)
    kind, path = kind_and_path(str(spec))
    kept = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    chosen = chosen_columns((columns or {}).items())
    where = Surroundings(None if root is None else home_path(root), kept, chosen)
    listing = find_listing(kind, path, label_map, where)
    spoken, spellings = _with_one_spelling(listing.entries)
    named, unnameable = _with_text_names(spoken)
    labelled = label_map.apply(named)
    entries = labelled.entries
    started(len(entries))
    folder = listing.root.resolve()
    cache_file = kept / "sounds" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.json"
    waveforms = KeptWaveforms() if keep else KeptWaveforms(0)
    clips, failed = measure_entries(folder, entries, cache_file, advance, kept=waveforms if keep else None)
    left_out = [*listing.excluded, *unnameable, *labelled.excluded, *failed]
    excluded = sorted(left_out, key=lambda exclusion: exclusion.clip)
    if not clips:
        reasons = "; ".join(f"{each.clip} {each.reason}" for each in excluded[:5])
        raise CorpusError(f"{path} holds no sound that can be used" + (f": {reasons}" if reasons else ""))
    alone = [] if any(clip.emotion for clip in clips) else ["it tells no emotions: it is read for its dimensions alone"]
    return Corpus(
        listing.kind,
        folder,
        tuple(sorted(with_shared_sound(clips, kept), key=lambda clip: clip.path)),
        tuple(excluded),
        labelled.uses(clips),
        label_map.unmatched(labelled.found.values()),
        found=len(listing.entries) + len(listing.excluded),
        notes=(*listing.notes, *spellings, *alone),
        kept=waveforms,
        table=path.stem if path.is_file() else "",
    )


def joined(corpora: Sequence[Corpus]) -> Corpus:
    """Return several corpora as one: each clip tells which it comes from, and speakers of two are never the same.

    A corpus is called as its clips say, else for its folder; where two are alike, for that one's folder, too, and where
    they are tables in one folder, for the table.

    Raises:
        CorpusError: two of them hold the same file, or some tell emotions and others none.
    """
    if len(corpora) == 1:
        return corpora[0]
    without = [corpus.root.name for corpus in corpora if not corpus.emotions]
    if without and len(without) < len(corpora):
        raise CorpusError(f"{', '.join(without)} tells dimensions and no emotions, and the others tell emotions")
    root = Path(os.path.commonpath([corpus.root for corpus in corpora]))
    clips: list[Clip] = []
    excluded: list[Exclusion] = []
    for corpus, called in zip(corpora, _names_apart(corpora), strict=True):
        inside = corpus.root.relative_to(root)
        for clip in corpus.clips:
            name = clip.corpus or called
            speaker = f"{name}/{clip.speaker}" if clip.speaker else ""
            moved = replace(clip, path=(inside / clip.path).as_posix(), corpus=name, speaker=speaker)
            clips.append(replace(moved, file=clip.file and (inside / clip.file).as_posix()))
        excluded += [replace(each, clip=(inside / each.clip).as_posix()) for each in corpus.excluded]
    clips.sort(key=lambda clip: clip.path)
    twice = [clip.path for clip, after in pairwise(clips) if clip.path == after.path]
    if twice:
        raise CorpusError(f"two of the corpora hold {clip_names(twice)}")
    labels = summed_uses(use for corpus in corpora for use in corpus.labels)
    # A map that is given for several corpora need not fit each of them.
    unmatched = tuple(name for name in corpora[0].unmatched if all(name in each.unmatched for each in corpora))
    found = sum(corpus.tally.found for corpus in corpora)
    notes = tuple(f"{corpus.root.name}: {note}" for corpus in corpora for note in corpus.notes)
    shared = tuple(with_shared_sound(clips))  # a recording may be in two of them
    corpus = Corpus("joined", root, shared, tuple(excluded), labels, unmatched, found, notes)
    return corpus.relabelled(lambda word: word)


def _names_apart(corpora: Sequence[Corpus]) -> list[str]:
    """Return what each of ``corpora`` is called, no two alike: as much as it takes of folder, table, and path."""
    folders = [corpus.root.parts for corpus in corpora]
    names = [path[-1] for path in folders]
    for depth in range(2, max(map(len, folders)) + 1):
        roots = Counter(name for name, _ in {*zip(names, folders, strict=True)})
        names = [
            "/".join(path[-depth:]) if roots[name] > 1 else name for name, path in zip(names, folders, strict=True)
        ]
    for inner in ([corpus.table for corpus in corpora], [str(place + 1) for place in range(len(corpora))]):
        often = Counter(names)
        names = [f"{name}/{own}" if own and often[name] > 1 else name for name, own in zip(names, inner, strict=True)]
    return names


def _with_one_spelling(entries: list[ClipEntry]) -> tuple[list[ClipEntry], list[str]]:
    """Return ``entries`` with each speaker in one spelling, and what to say of speakers who had several.

    Two that differ in case, or in what stands between words, are one: else a voice would lie on both sides of a fold.
    """
    keys = {entry.speaker: speaker_key(entry.speaker) for entry in entries}
    counts = Counter(entry.speaker for entry in entries)
    spelled: dict[str, list[str]] = {}
    for speaker in sorted(counts, key=lambda each: (-counts[each], each)):
        spelled.setdefault(keys[speaker], []).append(speaker)
    notes = [f"speakers {' and '.join(words)} are one: {words[0]}" for words in spelled.values() if len(words) > 1]
    if not notes:
        return entries, []
    return [replace(entry, speaker=spelled[keys[entry.speaker]][0]) for entry in entries], notes


def _with_text_names(entries: list[ClipEntry]) -> tuple[list[ClipEntry], list[Exclusion]]:
    """Set aside files whose names are not text: no table could name them."""
    good, bad = [], []
    for entry in entries:
        try:
            entry.path.encode("utf-8")
            good.append(entry)
        except UnicodeEncodeError:
            name = entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            bad.append(Exclusion(name, "has a name that is not UTF-8 text; rename it"))
    return good, bad
