"""From what a user writes on the command line to a Corpus."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from thymos.cache import default_cache_dir
from thymos.corpora.excerpts import with_shared_sound
from thymos.corpora.label_map import LabelMap, Rules
from thymos.corpora.measure import measure_entries
from thymos.corpora.readers import aesdd, csv_table, folders
from thymos.corpora.table import ClipEntry, Corpus, Exclusion, KeptWaveforms, Listing, clip_names
from thymos.errors import CorpusError

# In the order in which they are asked whether they recognise a path: the most particular first.
KINDS: dict[str, ModuleType] = {module.KIND: module for module in (csv_table, aesdd, folders)}


def open_corpus(
    spec: str | Path,
    *,
    labels: LabelMap | Rules | str | Path | None = None,
    cache_dir: str | Path | None = None,
    started: Callable[[int], None] = lambda total: None,
    advance: Callable[[], None] = lambda: None,
    keep: bool = False,
) -> Corpus:
    """Read the corpus at ``spec``: a path, or ``KIND:PATH``. Every file is decoded once and measured.

    Files that cannot be used are not an error: they are in ``excluded``, each with its reason.

    Args:
        spec: a folder whose kind is recognised, a CSV table with columns ``file`` and ``emotion``, or either with its
            kind named: ``aesdd:PATH``, ``folders:PATH`` or ``csv:PATH``.
        labels: what labels count as, such as ``{"angry": "anger", "boredom": ""}``, or the YAML file of such a map: the
            empty string leaves clips out. Known words of ten languages are recognised without it, and all others stay
            as they are; ``Corpus.labels`` counts them.
        cache_dir: where measurements are kept between calls; None is the user's own (``default_cache_dir``).
        started: called with the number of files before the first is measured.
        advance: called after each.
        keep: whether what had to be decoded stays in memory, up to a bound, for features that are made next.

    Raises:
        CorpusError: nothing there, no known kind, no usable clip, or no map of labels.
    """
    label_map = labels if isinstance(labels, LabelMap) else LabelMap(labels)
    kind, path = _split(str(spec))
    listing = _list(kind, path, label_map)
    named, unnameable = _with_text_names(listing.entries)
    labelled = label_map.apply(named)
    entries = labelled.entries
    started(len(entries))
    root = listing.root.resolve()
    kept = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    cache_file = kept / "sounds" / f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    waveforms = KeptWaveforms() if keep else KeptWaveforms(0)
    clips, failed = measure_entries(root, entries, cache_file, advance, kept=waveforms if keep else None)
    left_out = [*listing.excluded, *unnameable, *labelled.excluded, *failed]
    excluded = sorted(left_out, key=lambda exclusion: exclusion.clip)
    if not clips:
        reasons = "; ".join(f"{each.clip} {each.reason}" for each in excluded[:5])
        raise CorpusError(f"{path} holds no sound that can be used" + (f": {reasons}" if reasons else ""))
    return Corpus(
        listing.kind,
        root,
        tuple(sorted(with_shared_sound(clips), key=lambda clip: clip.path)),
        tuple(excluded),
        labelled.uses(clips),
        label_map.unmatched(labelled.found.values()),
        waveforms,
    )


def _split(spec: str) -> tuple[str | None, Path]:
    kind, colon, rest = spec.partition(":")
    if colon and kind in KINDS:
        return kind, Path(rest).expanduser()
    if colon and not Path(spec).exists() and kind.isidentifier() and len(kind) > 1:
        raise CorpusError(f"{kind!r} is no kind of corpus; known kinds: {', '.join(KINDS)}")
    return None, Path(spec).expanduser()


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


def _list(kind: str | None, path: Path, label_map: LabelMap) -> Listing:
    # Who says that folders are labels need not name them for emotions that are known.
    knows = (lambda name: True) if kind == folders.KIND else label_map.knows
    if not path.exists():
        raise CorpusError(f"{path} does not exist")
    if path.is_file():
        if kind not in (None, csv_table.KIND) or not csv_table.recognises(path, knows):
            raise CorpusError(f"{path} is a file; a corpus is a folder or a CSV table")
        return csv_table.read(path, knows)
    if not os.access(path, os.R_OK | os.X_OK):
        raise CorpusError(f"{path} may not be read: permission denied")
    candidates = [KINDS[kind]] if kind else [aesdd, folders]
    # AESDD's archive unpacks to a folder in a folder of the same name; either may be given.
    for place in (path, *sorted(child for child in path.iterdir() if child.is_dir())):
        for module in candidates:
            if module.recognises(place, knows):
                listing: Listing = module.read(place, knows)
                return listing
    if kind:
        raise CorpusError(f"{path} is not a corpus of kind {kind}")
    found = [folder.name for folder in folders.label_folders(path, knows)]
    if found:
        raise CorpusError(
            f"{path} is not a corpus: none of its folders ({clip_names(found)}) is named for an emotion that is known; "
            f"if their names are labels all the same, say folders:{path}"
        )
    raise CorpusError(f"{path} is not a corpus: it has no folders named for emotions, such as anger or sadness")
