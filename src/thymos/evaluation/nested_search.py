"""A search for settings, nested in an evaluation: each fold's are sought on inner folds of its training part alone.

    DIR/run.json                       what was asked for
    DIR/cells/                         finished fits, of trials and of folds (see ``study_cells``)
    DIR/optuna.db                      the trials, for Optuna's own tools
    DIR/search.json                    the trials of every fold, and which was chosen
    DIR/results.json, predictions.csv  the end result, as ``thymos evaluate`` writes it

What a trial tries hangs on the trials before it and on a seed of its own, so a search that was killed draws the same
trials again, finds their fits among the cells, and goes on.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Protocol, Split, protocol_named
from thymos.corpora.table import Corpus
from thymos.engine.process import chosen_device
from thymos.engine.tasks import Engine, in_use
from thymos.errors import MissingExtraError, RecipeError, TrainingError
from thymos.evaluation.evaluate import dealt_out
from thymos.evaluation.node_features import for_nodes
from thymos.evaluation.run import RunFolder
from thymos.evaluation.search_space import Searched, check_space, read_space
from thymos.evaluation.study_cells import Cell, CellFailure, CellStore, CellTask, run_cell
from thymos.experiment import Experiment, Work, corpus_of_emotions
from thymos.files import write_json
from thymos.machine import available_cores
from thymos.recipes import load_experiment
from thymos.scoring.metrics import confusion, scores
from thymos.scoring.paired import FinishedRun
from thymos.scoring.predictions import FoldResult, scored_recordings, write_predictions
from thymos.scoring.results import versions
from thymos.scoring.summary import make_results

if TYPE_CHECKING:
    import optuna

Metric = Literal["uar", "accuracy", "macro_f1"]
STARTUP_TRIALS = 8
"""Drawn at random; what comes after them goes by what they scored."""
_KEPT_FEATURES = 4
"""Of recipes whose features differ; more would fill the memory."""


@dataclass(frozen=True)
class SearchWatcher:
    """Who is told how far it is; every part may be left out."""

    on_trials: Callable[[int], None] = lambda trials: None
    """How many trials there are, over all folds."""
    on_trial: Callable[[dict[str, Any]], None] = lambda trial: None
    """A row of ``search.json``."""


def check_optuna() -> None:
    """Check that there is Optuna, before any work is done.

    Raises:
        MissingExtraError: there is none.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtraError("searching needs the library optuna: pip install 'thymos[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def search(
    corpus: Corpus | str | Path,
    recipe: str,
    space: Sequence[str],
    out: str | Path,
    *,
    protocol: Protocol | str = "recording",
    changes: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
    only_fold: int | None = None,
    trials: int = 20,
    inner_folds: int = 3,
    metric: Metric = "uar",
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    engine: Engine | str = "local",
    command: str = "",
    watcher: SearchWatcher = SearchWatcher(),
) -> FinishedRun:
    """Search for settings of a recipe on inner folds of each fold's training part, and test what was found.

    A search that was cut short goes on where it stopped, with the same trials; one that is asked for more trials goes
    on with these.

    Args:
        corpus: opened, or what ``open_corpus`` takes.
        recipe: a recipe's name, or a recipe file.
        space: what may be tried; see ``read_space``.
        out: the run folder; new, empty, or an earlier call's of the same search.
        protocol: as for ``evaluate``; it divides training parts by its own rule, too.
        changes: of the recipe, such as ``training.epochs=5``, for all trials.
        folds: for ``recording``, ``take`` and ``sentence``.
        seed: of folds, fits and draws.
        only_fold: search and test this fold alone, counted from 0.
        trials: of each fold.
        inner_folds: that each trial is scored on, at most 5.
        metric: what is highest in the best trial, over the recordings of all inner folds together.
        cache_dir: where features are kept; None: the user's cache folder.
        workers: fits at once, each in a process of its own; None: one a thread, 1 where fits have no epochs.
        threads: cores to keep busy; None: all that this process may use.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: where fits are done: ``local``, ``ray``, ``ray:HOST:PORT`` or an ``Engine``; changes no number.
        command: for the record.
        watcher: told how far it is.

    Raises:
        MissingExtraError: Optuna, or a library that the recipe needs, is not installed.
        RecipeError: the recipe, or what may be tried, is wrong.
        CorpusError: the corpus cannot be opened.
        EngineError: there is no such cluster, or its machines do not suit.
        ProtocolError: the protocol does not fit the corpus, or a training part is too small to be divided.
        LeakageError: folds leak, or the experiment has heard what would be tested.
        TrainingError: no trial of a fold could be fitted, or what was chosen cannot.
        RunError: ``out`` holds something else, or there is no such device.
    """
    check_optuna()
    searched = read_space(space)
    base = check_space(searched, recipe, changes)
    if trials < 1 or not 1 <= inner_folds <= 5:
        raise RecipeError(f"a search needs at least 1 trial and 1 to 5 inner folds, not {trials} and {inner_folds}")
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    work = Work(cache, threads or available_cores(), chosen_device(device), seed)
    if not isinstance(corpus, Corpus):
        corpus = open_corpus(str(corpus), cache_dir=cache)
    usable = corpus_of_emotions(base, corpus, "a search")
    split = (protocol_named(protocol, folds) if isinstance(protocol, str) else protocol).split(usable, seed)
    if only_fold is not None:
        if not 0 <= only_fold < len(split.folds):
            raise RecipeError(f"there is no fold {only_fold}: they are 0 to {len(split.folds) - 1}")
        split = replace(split, folds=(split.folds[only_fold],))
    base.check(usable)
    for change in (change for each in searched for change in each.ends()):
        load_experiment(recipe, [*changes, change]).check(usable)  # another encoder may have heard what is tested
    asked = {
        "format": 1,
        "search": {each.key: each.text for each in searched},
        "recipe": base.settings(),
        "protocol": split.name,
        "folds": [fold.name for fold in split.folds],
        "inner_folds": inner_folds,
        "metric": metric,
        "seed": seed,
        "versions": {package: versions().get(package) for package in ("thymos", "torch", "numpy")},
        "corpus": {clip.path: clip.identity for clip in usable.clips},
    }
    RunFolder(Path(out)).claim(asked)
    plan = _Plan(recipe, tuple(changes), base, searched, trials, inner_folds, metric)
    with in_use(engine, workers) as used:
        return _Searching(usable, split, plan, Path(out), work, used, workers, command, watcher).run()


@dataclass(frozen=True)
class _Plan:
    """What is searched for, and how."""

    recipe: str
    changes: tuple[str, ...]
    base: Experiment[Any]
    space: tuple[Searched, ...]
    trials: int
    inner_folds: int
    metric: Metric

    def experiment(self, drawn: Mapping[str, Any]) -> Experiment[Any]:
        """Return the experiment of one trial.

        Raises:
            RecipeError: settings do not go together.
        """
        return load_experiment(self.recipe, [*self.changes, *(each.change(drawn[each.key]) for each in self.space)])


@dataclass
class _Searching:
    """A search at work."""

    corpus: Corpus
    split: Split
    plan: _Plan
    out: Path
    work: Work
    engine: Engine
    workers: int | None
    command: str
    watcher: SearchWatcher
    started: float = field(default_factory=time.perf_counter)
    features: dict[str, Any] = field(default_factory=dict)
    """Of the recipes that were fitted last."""
    tried: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> FinishedRun:
        self.store = CellStore(self.out / "cells")
        self.watcher.on_trials(self.plan.trials * len(self.split.folds))
        results, chosen = [], []
        for fold in self.split.folds:
            best = self._best(fold)
            cell = Cell(
                self.corpus, self.plan.experiment(best["settings"]), self._only(fold), self.seed, self.work.device
            )
            reasons = self._fit([cell])
            if reasons:
                raise TrainingError(f"{fold.name}: what was chosen cannot be fitted: {reasons[0]}")
            facts, frame = self.store.load(cell)
            results.append((facts | {"chosen_settings": best["settings"]}, frame))
            chosen.append(
                {"fold": fold.name, "trial": best["trial"], "settings": best["settings"], "score": best["score"]}
            )
        return self._write(results, chosen)

    @property
    def seed(self) -> int:
        return self.work.seed

    def _only(self, fold: Fold) -> Split:
        return replace(self.split, folds=(fold,))

    def _best(self, fold: Fold) -> dict[str, Any]:
        """Return the trial of ``fold`` with the highest score, the first of equals.

        Raises:
            TrainingError: none could be fitted.
        """
        import optuna

        inner = self.split.protocol.inner(self.corpus, fold, self.plan.inner_folds, self.seed)
        study = optuna.create_study(direction="maximize")
        rows = []
        for number in range(self.plan.trials):
            own = int(np.random.SeedSequence([self.seed, fold.repeat, fold.index, number]).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=STARTUP_TRIALS)
            trial = study.ask({each.key: each.distribution() for each in self.plan.space})
            score, failed = self._score(trial.params, inner)
            if score is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, score)
            self._keep(fold, study.trials[number])
            rows.append(
                {"fold": fold.name, "trial": number, "settings": trial.params, "score": score, "failed": failed}
            )
            self.watcher.on_trial(rows[-1])
        self.tried += rows
        scored = [row for row in rows if row["score"] is not None]
        if not scored:
            raise TrainingError(f"{fold.name}: none of {len(rows)} trials could be fitted: {rows[0]['failed']}")
        return max(scored, key=lambda row: row["score"])

    def _score(self, drawn: Mapping[str, Any], inner: Sequence[Fold]) -> tuple[float | None, str | None]:
        """Return what a trial scores on the inner folds, or why it has no score."""
        try:
            experiment = self.plan.experiment(drawn)
        except RecipeError as error:
            return None, str(error)
        cells = [Cell(self.corpus, experiment, self._only(fold), self.seed, self.work.device) for fold in inner]
        reasons = self._fit(cells)
        if reasons:
            return None, reasons[0]
        labels = self.corpus.emotions
        told = [scored_recordings(frame, labels) for _, frame in map(self.store.load, cells)]
        truth = np.concatenate([own.truth for own in told])
        predicted = np.concatenate([own.predicted for own in told])
        return scores(confusion(truth, predicted, len(labels)))[self.plan.metric], None

    def _fit(self, cells: Sequence[Cell]) -> list[str]:
        """Fit what has no result yet, and return why some could not be."""
        missing = [cell for cell in cells if not self.store.has(cell)]
        if not missing:
            return []
        experiment = missing[0].experiment
        workers, threads = dealt_out(self.engine, self.workers, experiment, len(missing), self.work)
        features = self._features(experiment)
        tasks = [
            cell.task(features, replace(self.work, threads=own)) for cell, own in zip(missing, threads, strict=True)
        ]
        reasons = []
        done = self.engine.run(run_cell, tasks, workers, on_death=_killed, gpus=self.work.gpus)
        for task, result in done:
            if isinstance(result, CellFailure):
                reasons.append(result.reason)
            else:
                self.store.save(task.key, result)
        return reasons

    def _features(self, experiment: Experiment[Any]) -> Any:
        kind = experiment.features_key(self.corpus)
        if kind not in self.features:
            while len(self.features) >= _KEPT_FEATURES:
                self.features.pop(next(iter(self.features)))
            features = experiment.features(self.corpus, self.work)
            self.features[kind] = for_nodes(self.engine, experiment, self.corpus, features, self.work)
        return self.features[kind]

    def _keep(self, fold: Fold, trial: "optuna.trial.FrozenTrial") -> None:
        """Add ``trial`` to the database, unless an earlier call has: it serves Optuna's tools, and nothing of ours."""
        import optuna

        stored = optuna.create_study(
            storage=f"sqlite:///{self.out / 'optuna.db'}",
            study_name=fold.name,
            direction="maximize",
            load_if_exists=True,
        )
        if len(stored.trials) <= trial.number:
            stored.add_trial(trial)

    def _write(self, results: list[FoldResult], chosen: list[dict[str, Any]]) -> FinishedRun:
        plan = self.plan
        told = {
            "space": {each.key: each.text for each in plan.space},
            "metric": plan.metric,
            "inner_folds": plan.inner_folds,
            "trials": plan.trials,
            "chosen": chosen,
            "tried": self.tried,
        }
        facts = {
            "device": self.work.device,
            "threads": self.work.threads,
            "command": self.command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.perf_counter() - self.started, 3),
            "search": told,
            **({"provenance": provenance} if (provenance := plan.base.provenance()) else {}),
        }
        content = make_results(
            self.corpus, plan.base.settings(), plan.base.transductive, self.split, results, self.seed, facts
        )
        predictions = pd.concat([frame for _, frame in results], ignore_index=True)
        write_json(self.out / "search.json", {"format": 1, **told})
        write_predictions(self.out / "predictions.csv", predictions)
        write_json(self.out / "results.json", content)
        return FinishedRun(content, predictions)


def _killed(task: CellTask) -> CellFailure:
    return CellFailure("it was killed")


def settings_words(settings: Mapping[str, Any]) -> str:
    """Return settings as words: "training.epochs 12, model.dropout 0.35"."""
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in _plain(settings)
    )


def _plain(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        yield key, value.strip('"') if isinstance(value, str) else value
