"""From what a user writes on the command line to a Corpus."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from thymos.cache import default_cache_dir
from thymos.corpora.finding import find_listing, kind_and_path
from thymos.corpora.folds import with_shared_sound
from thymos.corpora.label_map import LabelMap, Rules
from thymos.corpora.measure import measure_entries
from thymos.corpora.readers.listed_files import Surroundings
from thymos.corpora.table import ClipEntry, Corpus, Exclusion, KeptWaveforms
from thymos.errors import CorpusError
from thymos.files import home_path


def open_corpus(
    spec: str | Path,
    *,
    labels: LabelMap | Rules | str | Path | None = None,
    root: str | Path | None = None,
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
        cache_dir: where measurements are kept between calls; None is the user's own (``default_cache_dir``).
        started: called with the number of files before the first is measured.
        advance: called after each.
        keep: whether what had to be decoded stays in memory, up to a bound, for features that are made next.

    Raises:
        CorpusError: nothing there, no known kind, no usable clip, or no map of labels.
    """
    label_map = labels if isinstance(labels, LabelMap) else LabelMap(labels)
    kind, path = kind_and_path(str(spec))
    kept = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    where = Surroundings(None if root is None else home_path(root), kept)
    listing = find_listing(kind, path, label_map, where)
    named, unnameable = _with_text_names(listing.entries)
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
    return Corpus(
        listing.kind,
        folder,
        tuple(sorted(with_shared_sound(clips, kept), key=lambda clip: clip.path)),
        tuple(excluded),
        labelled.uses(clips),
        label_map.unmatched(labelled.found.values()),
        found=len(listing.entries) + len(listing.excluded),
        notes=tuple(listing.notes),
        kept=waveforms,
    )


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
