"""What each label of a corpus counts as: by a map that the user gives, as a known word, or as itself; and the counts.

A map is written ``angry=anger,boredom=`` on a command line, or as a YAML file of ``label: what it counts as``. What
counts as nothing is left out; ``*`` stands for every label that the map does not name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from thymos.config import SettingsTextError, settings_in
from thymos.corpora.table import LEFT_OUT, ClipEntry, Exclusion, LabelUse, summed_uses
from thymos.errors import CorpusError
from thymos.files import home_path
from thymos.labels import house_spelling, label_key, one_spelling, tidy, to_emotion

ALL_OTHERS = "*"
Rules = Mapping[str, str]
"""Label -> what it counts as; the empty string leaves it out."""


@dataclass(frozen=True)
class LabelledEntries:
    """The clips that a corpus lists, with what their labels count as.

    Attributes:
        entries: of which ``emotion`` is what the label counts as.
        excluded: the others: left out by the map, or without a label. Where none has one, and dimensions are told
            instead, those that tell none.
        found: each clip's own label, by its path; also of those that the map left out.
    """

    entries: list[ClipEntry]
    excluded: list[Exclusion]
    found: dict[str, str]

    def uses(self, clips: Iterable[ClipEntry]) -> tuple[LabelUse, ...]:
        """Return what became of each label, counted over usable ``clips`` and what the map left out."""
        counted = [(self.found[clip.path], clip.emotion) for clip in clips if clip.emotion]
        counted += [(self.found[each.clip], LEFT_OUT) for each in self.excluded if each.readable]
        return summed_uses(LabelUse(label, emotion, 1) for label, emotion in counted)


class LabelMap:
    """Rules that say what labels count as; without any, known words count as the house's, and the others as they are.

    A rule names a label of the corpus, or the house's word for one.
    """

    def __init__(self, rules: Rules | str | Path | None = None):
        """Take rules, or the path of a YAML file of them.

        Raises:
            CorpusError: the file cannot be read, or two rules are about one label.
        """
        given = read_label_map(Path(rules)) if isinstance(rules, str | Path) else dict(rules or {})
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for label, counts_as in given.items():
            key, word = label_key(label), house_spelling(counts_as)
            if self._rules.setdefault(key, word) != word:
                raise CorpusError(f"the label map has two rules for {tidy(label)!r}: {self._rules[key]!r} and {word!r}")
            self._names.setdefault(key, tidy(label))

    def knows(self, word: str) -> bool:
        """Return whether ``word`` is a label for certain: a known word, or one that a rule names."""
        return to_emotion(word) is not None or label_key(word) in self._rules

    def counts_as(self, label: str) -> str:
        """Return what ``label`` counts as; ``LEFT_OUT`` if it is left out."""
        known = to_emotion(label)
        for word in (label, known or ""):
            if word and (key := label_key(word)) in self._rules:
                return self._rules[key]
        if ALL_OTHERS in self._rules:
            return self._rules[ALL_OTHERS]
        return known or tidy(label)

    def apply(self, entries: Iterable[ClipEntry]) -> LabelledEntries:
        """Return ``entries`` under what their labels count as."""
        labelled, entries = LabelledEntries([], [], {}), list(entries)
        if not any(tidy(entry.emotion) for entry in entries) and any(entry.tells_dimensions for entry in entries):
            labelled.entries.extend(entry for entry in entries if entry.tells_dimensions)
            silent = (entry.path for entry in entries if not entry.tells_dimensions)
            labelled.excluded.extend(Exclusion(path, "has no value of a dimension") for path in silent)
            return labelled
        mapped: list[tuple[ClipEntry, str]] = []
        for entry in entries:
            label = tidy(entry.emotion)
            if not label:
                labelled.excluded.append(Exclusion(entry.path, "has no label"))
                continue
            labelled.found[entry.path] = label
            counts_as = self.counts_as(label)
            if counts_as == LEFT_OUT:
                reason = f"has the label {label!r}, which is left out"
                labelled.excluded.append(Exclusion(entry.path, reason, readable=True))
            else:
                mapped.append((entry, counts_as))
        spelled = one_spelling(word for _, word in mapped)
        labelled.entries.extend(replace(entry, emotion=spelled[label_key(word)]) for entry, word in mapped)
        return labelled

    def unmatched(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return what rules name and ``labels`` of a corpus do not have."""
        keys = {label_key(word) for label in labels for word in (label, to_emotion(label) or label)}
        return tuple(name for key, name in self._names.items() if key not in keys and key != ALL_OTHERS)


def parse_label_map(text: str) -> dict[str, str]:
    """Return the rules that ``text`` writes as ``angry=anger,boredom=``.

    Raises:
        CorpusError: a part of it is no rule, or two are about one label.
    """
    rules: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        label, equals, counts_as = part.partition("=")
        if not equals or not label.strip():
            raise CorpusError(f"{part!r} is no rule for a label, such as angry=anger, or boredom= to leave it out")
        if label.strip() in rules:
            raise CorpusError(f"the label map has two rules for {label.strip()!r}")
        rules[label.strip()] = counts_as.strip()
    return rules


def read_label_map(path: Path) -> dict[str, str]:
    """Return the rules in the YAML file at ``path``; every word in it is text, ``no`` and ``1`` included.

    Raises:
        CorpusError: it cannot be read, or is not a map of words to words.
    """
    path = home_path(path)
    try:
        content = settings_in(path, words_only=True)
    except SettingsTextError as error:
        raise CorpusError(f"the label map {path} {error}") from None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise CorpusError(f"the label map {path} is not a list of lines such as angry: anger, or boredom: to leave out")
    return {label: LEFT_OUT if value in ("~", "null") else value for label, value in content.items()}
