"""The method paragraph of a run, for a paper: all that decided its numbers, from its ``results.json`` alone.

And what the paper has to cite: the entries of ``templates/references.bib``, by key and by corpus.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from thymos.escaping import printable
from thymos.files import write_text
from thymos.reports.tables import dimension_text, in_field, spread_text, tex
from thymos.scoring.metrics import BOOTSTRAP_DRAWS
from thymos.scoring.results import Results, chance_in, recipe_name

CORPORA = {
    "aesdd": "vryzas2018speech",
    "ravdess": "livingstone2018ryerson",
    "cremad": "cao2014crema",
    "emodb": "burkhardt2005database",
    "emodb2": "burkhardt2005database",
    "tess": "pichorafuller2020toronto",
    "savee": "haq2009speaker",
    "emovo": "costantini2014emovo",
    "nemo": "christop2024nemo",
    "ased": "retta2023new",
    "turev": "canpolat2020turkish",
    "turevdb": "canpolat2020turkish",
    "shemo": "nezami2019shemo",
    "subesco": "sultana2021sust",
    "mesd": "duville2021mexican",
    "cafe": "gournay2018canadian",
    "jlcorpus": "james2018open",
    "jl": "james2018open",
    "esd": "zhou2022emotional",
    "iemocap": "busso2008iemocap",
    "msppodcast": "lotfian2019building",
    "meld": "poria2019meld",
}
"""Key of a corpus, by its name in small letters and digits alone."""
_ENTRY = re.compile(r"^@\w+\{(\w+),\n(.*?)^\}$", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
_ACCENTS = {r"{\"o}": "ö", r"{\"e}": "ë", r"{\'e}": "é", r"{\'E}": "É", r"{\'\i}": "í", r"{\u{g}}": "ğ"}


def corpus_key(*names: str) -> str | None:
    """Return the key of the corpus that goes by one of ``names``; None if it is not known."""
    plain = (re.sub(r"[^a-z0-9]", "", name.casefold()) for name in names)
    return next((CORPORA[name] for name in plain if name in CORPORA), None)


def bibtex_of(keys: Iterable[str]) -> str:
    """Return the entries of ``keys`` as BibTeX, each once, in the order of the keys.

    Raises:
        KeyError: there is no such entry.
    """
    return "\n".join(_entries()[key] for key in dict.fromkeys(keys))


def author_and_year(key: str) -> tuple[str, str]:
    """Return whom a text names for ``key``, such as "Vryzas et al.", and the year.

    Raises:
        KeyError: there is no such entry.
    """
    fields = fields_of(key)
    names = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    for written, letter in _ACCENTS.items():
        names = [name.replace(written, letter) for name in names]
    shown = names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")
    return shown, fields["year"]


def fields_of(key: str) -> dict[str, str]:
    """Return the fields of the entry ``key`` as they are written.

    Raises:
        KeyError: there is no such entry.
    """
    return dict(_FIELD.findall(_entries()[key]))


@cache
def _entries() -> dict[str, str]:
    text = (resources.files("thymos.reports") / "templates" / "references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] + "\n" for found in _ENTRY.finditer(text)}


Format = Literal["text", "markdown", "latex", "bibtex"]
ENDINGS: dict[Format, str] = {
    "text": "method.txt",
    "markdown": "method.md",
    "latex": "method.tex",
    "bibtex": "method.bib",
}

_CITED = re.compile(r" ?⟦([\w,]+)⟧")
_PROTOCOLS = {
    "recording": "cross-validation over recordings, balanced by emotion, in which the same speakers and sentences are "
    "heard in training and test",
    "take": "cross-validation over recordings, balanced by emotion, that keeps takes of one sentence by one speaker in "
    "one emotion together",
    "sentence": "cross-validation over sentences, none of which is heard in both training and test",
    "speaker": "leave-one-speaker-out cross-validation",
    "corpus": "leave-one-corpus-out cross-validation",
    "own": "the corpus's own division into training and test part",
    "test": "training on some corpora and testing on others, on the labels that both sides have",
    "pairs": "training on one corpus and testing on another, for every ordered pair, on the labels that both have",
    "serab": "the division by speaker of the SERAB benchmark ⟦scheidwasser2022serab⟧",
}
_KINDS = {
    "cnn": "a convolutional network on spectrograms, trained with Adam ⟦kingma2015adam⟧ in PyTorch ⟦paszke2019pytorch⟧",
    "encoder": "descriptions of whole recordings (mean and standard deviation over time of an encoder's states) and a "
    "linear discriminant with a shrunk covariance ⟦fisher1936use,friedman1989regularized⟧",
    "functionals": "functionals of whole recordings by openSMILE ⟦eyben2010opensmile⟧ and a linear support vector "
    "machine ⟦fan2008liblinear,pedregosa2011scikit⟧",
}
_FEATURE_SETS = {"ComParE_2016": "schuller2016interspeech", "eGeMAPSv02": "eyben2016geneva"}
_NOT_SETTINGS = {"kind", "name", "description", "start_from", "merge", "int8"}


def describe_run(results: Results, format: Format = "text") -> str:
    """Return the method paragraph of a run, or the BibTeX entries of what it cites.

    Args:
        results: of the run.
        format: ``text``: authors and years in brackets; ``markdown``: likewise; ``latex``: ``\\cite`` of the entries,
            special letters escaped; ``bibtex``: the entries.
    """
    paragraph = " ".join(_sentences(results))
    if format == "bibtex":
        return bibtex_of(key for found in _CITED.finditer(paragraph) for key in found[1].split(","))
    if format == "latex":
        parts = _CITED.split(paragraph)
        # Every second part is what is cited.
        return "".join(tex_part(part) if at % 2 == 0 else f"~\\cite{{{part}}}" for at, part in enumerate(parts)) + "\n"
    cited = _CITED.sub(lambda found: f" ({'; '.join(map(_named, found[1].split(',')))})", paragraph)
    return (in_field(cited) if format == "markdown" else cited) + "\n"


def write_descriptions(results: Results, folder: Path) -> list[Path]:
    """Write the paragraph of a run in each format, and its BibTeX, to ``folder``; return the paths."""
    for format, name in ENDINGS.items():
        write_text(folder / name, describe_run(results, format))
    return [folder / name for name in ENDINGS.values()]


def tex_part(text: str) -> str:
    """Return ``text`` escaped for LaTeX, the spaces at its ends kept."""
    words = tex(text)
    return (" " if text[:1] == " " else "") + words + (" " if text[-1:] == " " else "")


def _named(key: str) -> str:
    return ", ".join(author_and_year(key))


def _sentences(results: Results) -> Iterator[str]:
    yield from _corpus(results)
    yield from _protocol(results)
    yield from _model(results)
    yield from _heard(results)
    yield from _calibration(results)
    yield from _figures(results)
    yield _versions(results)


def _corpus(results: Results) -> Iterator[str]:
    corpus = results.corpus
    key = None if corpus.synthetic else corpus_key(corpus.kind, corpus.name)  # of one that is laid out like another
    cited = f" ⟦{key}⟧" if key else ""
    called = _plain(corpus.name)
    synthetic = ", a synthetic corpus that says nothing about speech" if corpus.synthetic else ""
    emotions = ", ".join(f"{_plain(word)} {count}" for word, count in corpus.emotions.items())
    labelled = emotions or f"rated for {', '.join(row.dimension for row in results.per_dimension)}, not for emotions"
    yield (
        f"Recordings were taken from {called}{cited}{synthetic}: {_count(corpus.clips, 'recording')} "
        f"({corpus.duration_s / 60:.1f} min) by {_count(len(corpus.speakers), 'known speaker')}, "
        f"{f'labelled {emotions}' if emotions else labelled}."
    )
    changed = [label for label in corpus.labels if label["label"] != label["emotion"]]
    kept = [_plain(f"{at['label']} as {at['emotion']} ({at['clips']})") for at in changed if at["emotion"]]
    dropped = [_plain(f"{at['label']} ({at['clips']})") for at in changed if not at["emotion"]]
    if kept:
        yield f"Labels counted as others: {', '.join(kept)}."
    if dropped:
        yield f"Labels were left out: {', '.join(dropped)}."
    if merged := results.recipe.get("merge"):
        yield f"Emotions were merged: {', '.join(f'{one} into {other}' for one, other in merged.items())}."
    unreadable = [each for each in results.excluded if not each.readable]
    ruled = [each for each in results.excluded if each.readable]
    if not results.excluded:
        yield "No recording was excluded."
    if ruled:
        yield f"By rule, {_count(len(ruled), 'readable recording')} {_was(ruled)} left out: {_reasons(ruled)}."
    if unreadable:
        yield f"{_count(len(unreadable), 'file').capitalize()} could not be used: {_reasons(unreadable)}."
    if results.shuffled_labels:
        yield "As a control, labels were dealt out at random before the folds were drawn."


def _was(things: Sequence[Any]) -> str:
    return "was" if len(things) == 1 else "were"


def _reasons(excluded: Sequence[Any], most: int = 3) -> str:
    shown = "; ".join(_plain(f"{each.clip} {each.reason}") for each in excluded[:most])
    return shown + (f"; and {len(excluded) - most} more" if len(excluded) > most else "")


def _protocol(results: Results) -> Iterator[str]:
    protocol = results.protocol
    listed = protocol.name.startswith("file:")
    words = f"folds that were listed beforehand ({protocol.name})" if listed else _PROTOCOLS.get(protocol.name)
    cited = " ⟦ma2024emobox⟧" if listed and "emobox" in f"{protocol.name} {results.command}".casefold() else ""
    each = len(results.folds) // protocol.repeats
    folds = f"{_count(each, 'fold')}" + (f" in {protocol.repeats} repeats" if protocol.repeats > 1 else "")
    yield f"The protocol was {words or f'the protocol {protocol.name}'}{cited}: {folds}, seed {results.seed}."
    if protocol.must_not_cross:
        *others, last = protocol.must_not_cross
        apart = f"{', '.join(others)} or {last}" if others else last
        yield (
            "Folds were made of recordings before any sound was cut, and checked before training: no "
            f"{apart} is on both sides of a fold."
        )
    trains, tests = ([getattr(fold, name) for fold in results.folds] for name in ("train_clips", "test_clips"))
    yield f"A fold trained on {_range(trains)} recordings and was tested on {_range(tests)}."


def _model(results: Results) -> Iterator[str]:
    recipe = results.recipe
    kind = str(recipe.get("kind", ""))
    words = _KINDS.get(kind, f"an experiment of kind {kind or 'unknown'}")
    feature_set = str((recipe.get("features") or {}).get("feature_set", ""))
    if key := _FEATURE_SETS.get(feature_set):
        words += f", of the set {feature_set} ⟦{key}⟧"
    sizes = sorted({size for fold in results.folds if (size := (fold.model_extra or {}).get("parameters"))})
    fitted = f" ({_range(sizes)} fitted numbers)" if sizes else ""
    yield f"The model was {words}{fitted}, recipe {recipe_name(recipe)}."
    idle = {"tuning", "finetune"} if recipe.get("finetune") == "never" else set()
    idle |= {"distorted_copies", "distorted_share"} if recipe.get("distorted_copies") == 0 else set()
    settings = {name: value for name, value in recipe.items() if name not in _NOT_SETTINGS | idle}
    if settings:
        yield f"Its settings: {_listed(settings)}."
    if results.per_dimension:
        names = ", ".join(row.dimension for row in results.per_dimension)
        yield (
            f"A ridge regression ⟦hoerl1970ridge⟧ on the same descriptions read {names}, each with a penalty chosen on "
            "inner splits of the training part."
        )
    if search := (results.model_extra or {}).get("search"):
        yield (
            f"Settings were searched with Optuna ⟦akiba2019optuna⟧ on {search['inner_folds']} inner folds of each "
            f"training part, {search['trials']} trials a fold, by {search['metric']}: "
            f"{'; '.join(f'{name} of {space}' for name, space in search['space'].items())}. The test part of a fold "
            "chose nothing."
        )
    elif chosen := (results.model_extra or {}).get("chosen"):
        yield f"For each fold one of {len(set(chosen))} recipes was chosen on inner splits of its training part."
    if results.transductive:
        yield "It is transductive: what it says of a recording hinges on other recordings that are tested."


def _heard(results: Results) -> Iterator[str]:
    start = results.provenance.get("start_from") or {}
    if not start:
        return
    corpora = [each for each in results.provenance.get("trained_on", []) if each.get("stage") == "pretraining"]
    layers = (start.get("layers_of") or {}).get("name", "")
    began = f"The encoder began as the first layers of {layers} ⟦radford2023robust⟧" if layers else "The encoder"
    if not corpora:
        yield f"{began} as published, and was fitted to no corpus of emotions (SHA-256 {start.get('sha256', '')[:12]})."
        return
    told = []
    for each in corpora:
        key = corpus_key(each["name"])
        told.append(f"{each['name']} ({each['clips']} recordings){f' ⟦{key}⟧' if key else ''}")
    yield (
        f"{began} and was fine-tuned on {', '.join(told)} (SHA-256 {start.get('sha256', '')[:12]}); a run that would "
        "test on a recording that it has heard is refused."
    )


def _calibration(results: Results) -> Iterator[str]:
    told = results.calibration
    if not results.labels:
        return
    if not told:
        yield "Probabilities were not calibrated."
        return
    temperatures = told["temperatures"]
    yield (
        "Probabilities were calibrated by a temperature ⟦guo2017calibration⟧ found on inner splits of each training "
        f"part ({_range(temperatures, '{:.2f}')}): the expected calibration error went from "
        f"{told['ece_before']['value']:.3f} to {told['ece_after']['value']:.3f}."
    )
    sets = told["sets"]
    yield (
        f"Split-conformal prediction sets ⟦sadinle2019least⟧, asked to hold the truth in "
        f"{100 * told['asked_coverage']:.0f} %, held it in {100 * sets['coverage']:.1f} % with {sets['mean_size']:.2f} "
        "emotions on average."
    )


def _figures(results: Results) -> Iterator[str]:
    several = len(results.folds) > 1
    spread = f"mean ± sd over {len(results.folds)} folds" if several else "one fold"
    if results.summary:
        summary = results.summary.recording
        yield (
            f"Per recording ({spread} [95 % interval]), accuracy was {spread_text(summary.accuracy)} %, UAR "
            f"{spread_text(summary.uar)} %, macro-F1 {spread_text(summary.macro_f1)} %; chance among "
            f"{len(results.labels)} emotions is {100 * chance_in(results.chance, results.labels):.1f} %."
        )
        if "segment" in results.levels:
            yield f"Per segment, accuracy was {spread_text(results.summary.segment.accuracy)} %."
    for row in results.per_dimension:
        told = "" if results.summary else f" ({spread} [95 % interval])"
        yield (
            f"Of {row.dimension}{told}, the concordance correlation coefficient ⟦lin1989concordance⟧ was "
            f"{dimension_text(row.ccc)}, Pearson's r {dimension_text(row.pearson)}."
        )
    yield (
        f"Intervals are percentile bootstraps over recordings ⟦efron1993introduction⟧, {BOOTSTRAP_DRAWS} draws, and "
        "take the fitted models as given" + ("; sd is that of a sample (n − 1)." if several else ".")
    )


def _versions(results: Results) -> str:
    libraries = ("thymos", "torch", "numpy", "scipy", "scikit-learn", "soundfile", "soxr")
    told = [f"{name} {results.versions[name]}" for name in libraries if results.versions.get(name)]
    where = results.versions.get("processor") or results.versions.get("platform")
    return f"Software: {', '.join(told)}" + (f", on {where}." if where else ".")


def _plain(text: str) -> str:
    """Return ``text`` on one line, without the marks of what is cited."""
    return printable(text).replace("⟦", "[").replace("⟧", "]")


def _listed(settings: Mapping[str, Any]) -> str:
    """Return settings as words: parts in brackets, what is not set left out."""
    said = []
    for name, value in settings.items():
        if value in (None, {}, []) or value is False:
            continue
        words = str(name).replace("_", " ")
        if isinstance(value, Mapping):
            if inner := _listed(value):
                said.append(f"{words} ({inner})")
        elif value is True:
            said.append(words)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            said.append(f"{words} {', '.join(map(_number, value))}")
        else:
            said.append(f"{words} {_number(value)}")
    return "; ".join(said)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count or 'no'} {what}s"


def _range(values: Sequence[float], form: str = "{}") -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
