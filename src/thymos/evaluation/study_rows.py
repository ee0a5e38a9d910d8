"""The cells that a row of a study needs: one for each fold, those to choose by, and one for the learning curve."""

from dataclasses import dataclass, replace

from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Split, protocol_named
from thymos.corpora.table import Corpus
from thymos.evaluation.evaluate import usable_for
from thymos.evaluation.study_cells import Cell
from thymos.evaluation.study_plan import PlannedRow
from thymos.recipes import Recipe

THREADS = 1
"""Torch threads for each cell: two fits side by side with one thread each are never slower than one with two."""


@dataclass(frozen=True)
class RowCells:
    """The cells of one row."""

    row: PlannedRow
    corpus: Corpus
    split: Split
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
    split = protocol_named(row.protocol, row.folds, row.repeats).split(usable, seed)
    split = replace(split, folds=split.folds[: row.most_folds])

    def cell(recipe: Recipe, fold: Fold, watched: bool = False) -> Cell:
        return Cell(usable, recipe, fold, seed, THREADS, watched)

    if not row.candidates:
        inner_fold = split.protocol.inner(usable, split.folds[0], 1, seed)[0]
        outer = tuple(cell(row.recipe, fold) for fold in split.folds)
        return RowCells(row, usable, split, outer, (), cell(row.recipe, inner_fold, watched=True))
    inner = []
    for fold in split.folds:
        inner_folds = split.protocol.inner(usable, fold, row.inner_folds, seed)
        inner.append(
            tuple(
                tuple(cell(recipe, inner_fold, watched=True) for inner_fold in inner_folds)
                for _, recipe in row.candidates
            )
        )
    return RowCells(row, usable, split, (), tuple(inner), None)


def names_of_chosen(cells: RowCells) -> tuple[str, ...]:
    """Return the name of the candidate chosen for each fold; none where nothing was chosen among."""
    if not cells.inner:
        return ()
    return tuple(next(name for name, recipe in cells.row.candidates if recipe is cell.recipe) for cell in cells.outer)
