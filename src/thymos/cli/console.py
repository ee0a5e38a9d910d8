"""What the commands share: options, where they print, how they show progress and speed, how they open a corpus."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from thymos.escaping import printable, printable_lines

CorpusArgument = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="A folder, KIND:FOLDER (such as aesdd:PATH), or a table with columns file and emotion.",
    ),
]
CorporaArgument = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS…", help="One or several: a folder, KIND:FOLDER (such as aesdd:PATH), or a table."),
]
RecipeOption = Annotated[str, typer.Option(help="A shipped recipe's name, or a YAML file.")]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as training.epochs=5. May be repeated."),
]
PrecisionOption = Annotated[Literal["bf16", "fp32"] | None, typer.Option(help="Short for --set training.precision=…")]
SeedOption = Annotated[int, typer.Option(min=0, help="Decides folds, initial weights, order and dropout.")]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", metavar="MAP.yaml", help="A file of lines such as angry: anger; boredom: leaves out."),
]
LabelMapOption = Annotated[
    str,
    typer.Option(
        metavar="RULES",
        help="What labels count as, such as angry=anger,boredom= (nothing: left out; *=: all others left out).",
    ),
]
ChosenOption = Annotated[
    str | None,
    typer.Option("--labels", metavar="WORD,WORD…", help="Tell only these labels of the model apart."),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="FOLDER", help="What paths in a table are relative to (default: its own folder)."),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="COLUMN=HEADING,…",
        help="Which columns of a table are read, such as emotion=label2,speaker=spk (target= is emotion=).",
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where measurements and features are kept (default: ~/.cache/thymos)."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Do nothing, and exit with 1, if a file cannot be used.")]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Folder or name of a model (default: THYMOS_MODEL, else the one that comes along)."),
]
VoiceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE.json", help="A voice that `thymos enrol` knows: what is its own is taken out."),
]
VoicesOption = Annotated[
    Path | None,
    typer.Option("--voices", metavar="FOLDER", help="Where voices are kept (default: voices, in the cache folder)."),
]
VadOption = Annotated[
    float | None,
    typer.Option(
        "--vad-threshold",
        metavar="P",
        help="Probability at which speech begins (default: 0.5; where that finds nobody in a recording, the model is"
        " asked, too): less hears fainter speech, and more noise.",
    ),
]
FiguresOption = Annotated[
    str,
    typer.Option("--figures", metavar="FORMATS", help="What figures are written as: png, pdf, svg; commas between."),
]
TrackOption = Annotated[
    str | None,
    typer.Option(
        metavar="mlflow[:URI]",
        help="Log parameters, metrics by fold and files when done; without a URI, to what MLFLOW_TRACKING_URI names, or"
        " to mlflow.db, here.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Cores to keep busy (default: all that are free to use). Changes no digit."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Fits at once, each in a process of its own (default: one a thread). Changes no digit."),
]
EngineOption = Annotated[
    str,
    typer.Option(
        metavar="local|ray[:ADDRESS]",
        help="Where the work is done: in processes of this machine, or by Ray (thymos[scale]): in a cluster started "
        "here, ray:auto (one that runs here) or ray:HOST:PORT. Changes no digit.",
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="By Ray: how many GPUs of the cluster each fit has for itself; 0.5 lets two share one. Default: 1 where "
        "the device is cuda, else none.",
    ),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where networks are fitted and recordings described; auto takes an accelerator that is there."),
]


if TYPE_CHECKING:
    from thymos.corpora import Corpus
    from thymos.corpora.label_map import LabelMap, Rules
    from thymos.corpora.table import LabelUse


class SafeConsole(Console):
    """A console on which nothing steers the terminal but its own styles, whatever names and tags are shown."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return what rich makes of ``renderable``, every text of it printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


# A name such as :cat: is no picture.
console = SafeConsole(emoji=False)
notes = SafeConsole(stderr=True, emoji=False)


def shown(text: object) -> str:
    """Return ``text``, such as a file's name, as a part of rich's markup: on one line, and as itself."""
    return escape(printable(str(text)))


def say(sentence: str, style: str | None = None) -> None:
    """Print a note of one line as it is, whatever file names are in it."""
    notes.print(printable(sentence), style=style, markup=False, highlight=False, soft_wrap=True)


def tell(sentence: str) -> None:
    """Print a result of one line as it is, whatever file names are in it."""
    console.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


def not_heard(name: str, reason: str) -> None:
    """Say that a recording could not be heard, and why."""
    notes.print(f"[yellow]not heard:[/yellow] {shown(name)} {shown(reason)}", soft_wrap=True)


class PlainProgress(Progress):
    """Progress for a pipe or a log file: one line when a task reaches each quarter, no redrawing."""

    QUARTERS = 4

    def __init__(self) -> None:
        super().__init__(console=notes, disable=True)
        self._shown: dict[TaskID, int] = {}

    def update(self, task_id: TaskID, **changes: object) -> None:
        """Change a task, and print it if a quarter is full."""
        super().update(task_id, **changes)  # type: ignore[arg-type]
        self._show(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Move a task on, and print it if a quarter is full."""
        super().advance(task_id, advance)
        self._show(task_id)

    def _show(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        quarter = int(self.QUARTERS * task.completed / task.total) if task.total else 0
        if quarter > self._shown.get(task_id, 0):
            self._shown[task_id] = quarter
            say(f"{task.description}: {task.completed:.0f} of {task.total:.0f}")


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """Yield a progress display on standard error: bars on a terminal, plain lines in a pipe, nothing if ``quiet``."""
    if quiet:
        yield Progress(console=notes, disable=True)
    elif not notes.is_terminal:
        yield PlainProgress()
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=notes) as bars:
            yield bars


def chosen_labels(words: str | None) -> list[str] | None:
    """Return what ``predict --labels`` names, with commas between the words; None where it is not given."""
    return None if words is None else [word for part in words.split(",") if (word := part.strip())]


def label_map_of(file: Path | None, rules: str, given: "Rules | None" = None) -> "LabelMap":
    """Return the map that ``--labels`` and ``--label-map`` give together; rules on the command line count first.

    ``given`` are rules that count last, such as a study's.

    Raises:
        CorpusError: one of them is not as it should be.
    """
    from thymos.corpora.label_map import LabelMap, parse_label_map, read_label_map

    return LabelMap(dict(given or {}) | (read_label_map(file) if file else {}) | parse_label_map(rules))


def open_corpora_with_progress(
    specs: Sequence[str],
    cache_dir: Path | None,
    quiet: bool,
    labels: "LabelMap | None" = None,
    keep: bool = False,
    root: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> "Corpus":
    """Open the corpora at ``specs``, several as one; the rest as for ``open_corpus_with_progress``.

    Raises:
        CorpusError: one of them cannot be opened, or two hold the same file.
    """
    from thymos.corpora.opening import joined

    keep = keep and len(specs) == 1
    return joined([open_corpus_with_progress(spec, cache_dir, quiet, labels, keep, root, columns) for spec in specs])


def open_corpus_with_progress(
    spec: str,
    cache_dir: Path | None,
    quiet: bool,
    labels: "LabelMap | None" = None,
    keep: bool = False,
    root: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> "Corpus":
    """Open the corpus at ``spec``, showing how far it is; the rest as for ``open_corpus``.

    Raises:
        CorpusError: it cannot be opened.
    """
    from thymos.corpora import open_corpus

    with progress(quiet) as bars:
        task = bars.add_task("Reading the corpus", total=None)
        return open_corpus(
            spec,
            labels=labels,
            root=root,
            columns=columns,
            cache_dir=cache_dir,
            started=lambda total: bars.update(task, total=total),
            advance=lambda: bars.advance(task),
            keep=keep,
        )


def name_tally(corpus: "Corpus") -> None:
    """Say what became of the recordings of ``corpus``, and what else there is to say of how it was read."""
    for note in (str(corpus.tally), *corpus.notes):
        say(note)


def name_labels(corpus: "Corpus") -> None:
    """Say which labels of ``corpus`` count as something else, stay as they are or are left out, with their counts."""
    said = {
        "known words": [f"{use.label} is {use.emotion} ({use.clips})" for use in _uses(corpus, "known word")],
        "by the label map": [f"{use.label} is {use.emotion} ({use.clips})" for use in _uses(corpus, "label map")],
        "not known, so as they are": [f"{use.label} ({use.clips})" for use in _uses(corpus, "as it is")],
        "left out": [f"{use.label} ({use.clips})" for use in _uses(corpus, "left out")],
    }
    for how, labels in said.items():
        if labels:
            say(f"labels, {how}: {', '.join(labels)}")
    name_unmatched(corpus)


def name_unmatched(corpus: "Corpus") -> None:
    """Say what the label map names and ``corpus`` does not have, and what it makes that is nearly a word of the house:
    most often, a word that is spelled otherwise."""
    from thymos.config import nearest
    from thymos.labels import EMOTIONS, to_emotion

    labels = [use.label for use in corpus.labels]
    for word in corpus.unmatched:
        say(f"no clip has the label {word!r}, which the label map names{nearest(word, labels)}", "yellow")
    for use in _uses(corpus, "label map"):
        hint = nearest(use.emotion, list(EMOTIONS)) if to_emotion(use.emotion) is None else ""
        if "did you mean" in hint:
            say(f"the label map makes {use.label!r} {use.emotion!r}, a word of its own{hint}", "yellow")


def _uses(corpus: "Corpus", how: str) -> "list[LabelUse]":
    return [use for use in corpus.labels if use.how == how]


_SHOWN_S = 1.0
"""From one showing to the next."""


class Throughput:
    """Counts recordings and their seconds of sound, in a task of a progress display."""

    def __init__(self, bars: Progress, total: int | None, said: str = "Listening"):
        """Begin with none of ``total`` recordings heard; ``said`` is what the task is called."""
        self._bars, self._said = bars, said
        self._task = bars.add_task(said, total=total)
        self._began_s = self._shown_s = time.monotonic()
        self.recordings, self.known, self.sound_s = 0, 0, 0.0
        """Heard, known from an earlier run, and how long those that were heard are."""

    def take(self, duration_s: float | None, known: bool = False) -> None:
        """Count a recording: of so many seconds, or one that could not be heard (None)."""
        if known:
            self.known += 1
        elif duration_s is not None:
            self.recordings += 1
            self.sound_s += duration_s
        now_s = time.monotonic()
        if now_s - self._shown_s >= _SHOWN_S:
            self._shown_s = now_s
            self._bars.update(self._task, description=f"{self._said} ({self._rate(now_s)})")
        self._bars.advance(self._task)

    def _rate(self, now_s: float) -> str:
        return f"{_long(60 * self.sound_s / max(1e-3, now_s - self._began_s))} of sound a minute"

    def __str__(self) -> str:
        now_s = time.monotonic()
        known = f"; {self.known} were known from an earlier run" if self.known else ""
        return (
            f"{self.recordings} recordings heard, {_long(self.sound_s)} of sound in {_long(now_s - self._began_s)}: "
            f"{self._rate(now_s)}{known}"
        )


def _long(seconds: float) -> str:
    """Return a length of time as people say it: "2.1 h", "3.5 min", "12 s"."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
