"""What an audit found, in words and rows that a terminal, a page or a log can show alike."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thymos.audio.containers import REMARKS
from thymos.corpora.audit import Audit, clipped_share, peak_db
from thymos.corpora.table import Clip


@dataclass(frozen=True)
class Column:
    """A column of a finding."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is odd, and where it was found; the oddest row first."""

    name: str
    """Short and stable, for anchors and tests."""
    title: str
    note: str
    """What was looked for, with the value of the fence if there is one."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    serious: bool = False
    """Whether files are lost, labels are wrong, or an emotion cannot be learned."""


def findings(audit: Audit) -> list[Finding]:
    """Return everything that ``audit`` found; what it did not find is left out. The serious come first."""
    every = [
        _unusable(audit),
        _near_empty(audit),
        _labels(audit),
        _left_out(audit),
        _duplicates(audit),
        _near_copies(audit),
        _silent(audit),
        _long(audit),
        _short(audit),
        _remarked(audit),
        _clipped(audit),
        _quiet(audit),
        _missing(audit),
        _repeated_takes(audit),
        _mixed_sound(audit),
    ]
    return sorted((finding for finding in every if finding.rows), key=lambda finding: not finding.serious)


def printable(name: str) -> str:
    """Return a file's name as it can be shown anywhere: what no terminal or UTF-8 text may hold is escaped.

    A name may hold line ends, terminal codes, or bytes that are no UTF-8, which Python keeps as surrogates.
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in name
    )


def speaker_name(speaker: str) -> str:
    """Return the word for ``speaker`` in tables, where the empty string is nobody known."""
    return printable(speaker) or "unknown"


def _unusable(audit: Audit) -> Finding:
    return Finding(
        "unusable",
        "Cannot be used",
        "These files are listed by the corpus but left out of everything that is made from it.",
        (Column("file"), Column("reason")),
        tuple((printable(exclusion.clip), printable(exclusion.reason)) for exclusion in audit.unusable),
        serious=True,
    )


def _remarked(audit: Audit) -> Finding:
    rows = [
        (clip, [REMARKS[remark] for remark in clip.sound.remarks if remark != "clipped"]) for clip in audit.corpus.clips
    ]
    return Finding(
        "remarked",
        "Not heard as recorded",
        "Files that are cut short or damaged, and what was done to sound on its way in.",
        (Column("clip"), Column("what")),
        tuple((printable(clip.path), "; ".join(words)) for clip, words in rows if words),
    )


def _near_empty(audit: Audit) -> Finding:
    return Finding(
        "near-empty",
        "Near-empty emotions",
        "Too few clips to be in each of five folds, or under a quarter of an equal share.",
        (Column("emotion"), Column("clips", number=True)),
        tuple((emotion, str(audit.count(emotion=emotion))) for emotion in audit.near_empty),
        serious=True,
    )


def _labels(audit: Audit) -> Finding:
    return Finding(
        "labels",
        "Labels",
        "Labels that are no word of the house's own, and what each counts as. --label-map changes that.",
        (Column("label"), Column("counts as"), Column("clips", number=True), Column("by")),
        tuple(
            (use.label, use.emotion or "–", str(use.clips), use.how)
            for use in audit.corpus.labels
            if use.how != "own word"
        ),
    )


def _left_out(audit: Audit) -> Finding:
    reasons = Counter(each.alike or each.reason for each in audit.corpus.excluded if each.readable)
    return Finding(
        "left-out",
        "Left out by a rule",
        "These recordings can be heard, and are left out of everything that is made from the corpus.",
        (Column("each"), Column("recordings", number=True)),
        tuple((printable(reason), str(count)) for reason, count in reasons.most_common()),
    )


def _duplicates(audit: Audit) -> Finding:
    return Finding(
        "duplicates",
        "Same sound twice",
        "The decoded samples are equal. A copy on each side of a fold is a leak.",
        (Column("files"), Column("labels")),
        tuple((_names(group.clips), _agreement(group.labels_differ)) for group in audit.duplicates),
        serious=any(group.labels_differ for group in audit.duplicates),
    )


def _near_copies(audit: Audit) -> Finding:
    return Finding(
        "near-copies",
        "Near-copies",
        "The same sound at another rate or level, in another codec, or cut otherwise, known by its fingerprint; or "
        "excerpts that overlap. Folds keep them together.",
        (Column("files"), Column("labels")),
        tuple((_names(group.clips), _agreement(group.labels_differ)) for group in audit.near_copies),
        serious=any(group.labels_differ for group in audit.near_copies),
    )


def _agreement(labels_differ: bool) -> str:
    return "differ" if labels_differ else "agree"


def _silent(audit: Audit) -> Finding:
    fences = audit.fences
    return _of_clips(
        "silent",
        "Mostly silent",
        f"Silent for more than {fences.silence_s.high:.2f} s and for more than "
        f"{_percent(fences.silence_share.high)} of the length, the upper Tukey fences. Silent is what is "
        "20 dB below the clip's own loud parts.",
        audit.silent,
        {
            "silent s": lambda clip: f"{clip.sound.silence_s:.2f}",
            "of s": _length,
            "share": lambda clip: _percent(clip.sound.silence_share),
        },
    )


def _long(audit: Audit) -> Finding:
    note = f"Longer than {audit.fences.duration_s.high:.2f} s, the upper Tukey fence."
    return _of_clips("long", "Unusually long", note, audit.longest, {"length s": _length})


def _short(audit: Audit) -> Finding:
    note = f"Shorter than {audit.fences.duration_s.low:.2f} s, the lower Tukey fence."
    return _of_clips("short", "Unusually short", note, audit.shortest, {"length s": _length})


def _clipped(audit: Audit) -> Finding:
    return _of_clips(
        "clipped",
        "Clipped",
        "With three or more samples in a row at full scale.",
        audit.clipped,
        {
            "samples": lambda clip: str(clip.sound.clipped_samples),
            "share": lambda clip: _percent(clipped_share(clip), digits=3),
        },
    )


def _quiet(audit: Audit) -> Finding:
    return _of_clips(
        "quiet",
        "Quiet",
        f"With a peak below {audit.fences.peak_db.low:.1f} dB re full scale, the lower Tukey fence.",
        audit.quiet,
        {"peak dB": lambda clip: f"{peak_db(clip):.1f}" if clip.sound.peak else "digital silence"},
    )


def _missing(audit: Audit) -> Finding:
    return Finding(
        "missing",
        "Missing recordings",
        "Sentences that a speaker lacks in an emotion, though most speakers have them.",
        (Column("emotion"), Column("speaker"), Column("sentence")),
        tuple((one.emotion, printable(one.speaker), printable(one.sentence)) for one in audit.missing),
    )


def _repeated_takes(audit: Audit) -> Finding:
    return Finding(
        "takes",
        "Repeated takes",
        "Sentences that a speaker recorded more than once in an emotion. Takes on both sides of a fold are a "
        "leak: the protocol `take` keeps them together.",
        (Column("emotion"), Column("speaker"), Column("sentence"), Column("files")),
        tuple(
            (take.emotion, printable(take.speaker), printable(take.sentence), _names(take.clips))
            for take in audit.repeated_takes
        ),
    )


def _mixed_sound(audit: Audit) -> Finding:
    """A network hears a sampling rate that goes with an emotion or a speaker before it hears any emotion."""
    rows = []
    if len(audit.rates_hz) > 1:
        rows += [(f"{rate_hz} Hz", str(clips)) for rate_hz, clips in audit.rates_hz.items()]
    if len(audit.channels) > 1:
        rows += [(channels_name(channels), str(clips)) for channels, clips in audit.channels.items()]
    return Finding(
        "mixed",
        "Mixed recordings",
        "Clips differ in sampling rate or channels. Check that this does not go with emotion or speaker.",
        (Column("sound"), Column("clips", number=True)),
        tuple(rows),
    )


def channels_name(channels: int) -> str:
    """Return "mono", "stereo" or the number of channels."""
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def _length(clip: Clip) -> str:
    return f"{clip.sound.duration_s:.2f}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _names(clips: Sequence[Clip]) -> str:
    return ", ".join(printable(clip.path) for clip in clips)


def _of_clips(
    name: str, title: str, note: str, clips: Sequence[Clip], numbers: dict[str, Callable[[Clip], str]]
) -> Finding:
    return Finding(
        name,
        title,
        note,
        (Column("file"), *(Column(heading, number=True) for heading in numbers)),
        tuple((printable(clip.path), *(number(clip) for number in numbers.values())) for clip in clips),
    )
