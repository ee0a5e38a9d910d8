"""The cells that a row of a study needs: one for each fold, those to choose by, and one for the learning curve."""

from dataclasses import dataclass, replace

from thymos.corpora.folds import GROUPS, Fold, Protocol
from thymos.corpora.protocols import apply_protocol
from thymos.corpora.table import Corpus
from thymos.evaluation.evaluate import usable_for
from thymos.evaluation.study_cells import Cell
from thymos.evaluation.study_plan import INNER_FOLDS, PlannedRow
from thymos.training.recipe import Recipe

THREADS = 1
"""Torch threads for each cell: two fits side by side with one thread each are never slower than one with two."""


@dataclass(frozen=True)
class RowCells:
    """The cells of one row."""

    row: PlannedRow
    corpus: Corpus
    protocol: Protocol
    outer: tuple[Cell, ...]
    """One a fold; empty for a row that chooses, until it has chosen."""
    inner: tuple[tuple[tuple[Cell, ...], ...], ...]
    """For each fold and candidate, one cell for each inner split; empty for a row that does not choose."""
    curve: Cell | None
    """A fit on an inner split of the first fold; what it shows decides nothing."""

    def needed(self) -> list[Cell]:
        """Return the cells that do not depend on a choice."""
        inner = [cell for fold in self.inner for candidate in fold for cell in candidate]
        return [*self.outer, *([self.curve] if self.curve else []), *inner]


def row_cells(corpus: Corpus, row: PlannedRow, seed: int) -> RowCells:
    """Divide ``corpus`` by the row's protocol and return its cells. Inner splits never hold a clip of the test part.

    Raises:
        ProtocolError: the protocol does not fit the corpus.
        LeakageError: its folds leak.
        CorpusError: the recipe leaves out too much.
    """
    usable = usable_for(corpus, row.recipe)
    protocol = apply_protocol(usable, row.protocol, row.folds, row.repeats, seed)
    protocol = replace(protocol, folds=protocol.folds[: row.most_folds])

    def cell(recipe: Recipe, fold: Fold, watched: bool = False) -> Cell:
        return Cell(usable, recipe, fold, seed, THREADS, watched)

    if not row.candidates:
        split = inner_splits(usable, protocol, protocol.folds[0], 1, seed)[0]
        outer = tuple(cell(row.recipe, fold) for fold in protocol.folds)
        return RowCells(row, usable, protocol, outer, (), cell(row.recipe, split, watched=True))
    inner = []
    for fold in protocol.folds:
        splits = inner_splits(usable, protocol, fold, row.inner_folds, seed)
        inner.append(
            tuple(tuple(cell(recipe, split, watched=True) for split in splits) for _, recipe in row.candidates)
        )
    return RowCells(row, usable, protocol, (), tuple(inner), None)


def inner_splits(corpus: Corpus, protocol: Protocol, fold: Fold, most: int, seed: int) -> list[Fold]:
    """Divide the training part of ``fold`` by the same rule once more, and return the first ``most`` of the splits.

    A protocol that comes with a validation part has that one split.

    Raises:
        ProtocolError: the training part is too small to be divided.
        LeakageError: the split leaks.
    """
    if fold.validation:
        return [replace(fold, test=fold.validation, validation=())]
    inside = set(fold.train)
    part = replace(corpus, clips=tuple(clip for clip in corpus.clips if clip.path in inside))
    # Folds that somebody else drew say what must not cross, not how to divide further.
    name = protocol.name if protocol.name in ("recording", "take", "sentence", "speaker") else "recording"
    if "speaker" in protocol.must_not_cross:
        name = "speaker"
    groups = {GROUPS[name](clip) for clip in part.clips}
    inner = apply_protocol(part, name, min(INNER_FOLDS, len(groups)), 1, seed)
    return [
        replace(split, repeat=fold.repeat, index=fold.index, name=f"{fold.name}, inner {split.name}")
        for split in inner.folds[:most]
    ]


def names_of_chosen(cells: RowCells) -> tuple[str, ...]:
    """Return the name of the candidate chosen for each fold; none where nothing was chosen among."""
    if not cells.inner:
        return ()
    return tuple(next(name for name, recipe in cells.row.candidates if recipe is cell.recipe) for cell in cells.outer)
