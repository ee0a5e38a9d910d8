"""What the columns of a table are called, in the words that tables of the field use."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from thymos.config import nearest
from thymos.errors import CorpusError

SYNONYMS = {
    "file": "file, filename, filepath, path, audio, audiofile, audiofilename, audiopath, wav, wavfile, wavname, "
    "wavpath, sound, soundfile, recording, clip, clipname, fname, fullpath, location",
    "emotion": "emotion, emotions, label, labels, emo, emotionlabel, emotionname, emotioncategory, emotionclass, "
    "emoclass, majoremotion, category, class, target, goldlabel",
    "speaker": "speaker, speakerid, spk, spkr, spkid, spkrid, actor, actorid, actress, subject, subjectid, "
    "participant, participantid, client, clientid, voice, talker",
    "sentence": "sentence, sentenceid, text, transcript, transcription, statement, phrase, prompt, utterancetext",
    "take": "take, takeid, repetition, rep",
    "corpus": "corpus, dataset, database, db, corpusname, datasetname",
    "gender": "gender, sex, speakergender, spkgender",
    "language": "language, lang, locale",
    "intensity": "intensity, emotionalintensity, emotionintensity, strength",
    "split": "split, splitset, partition, subset, set",
    "arousal": "arousal, activation, emoact, act",
    "valence": "valence, emoval",
    "dominance": "dominance, emodom, dom, potency",
    "fold": "fold, foldid, foldnumber, cvfold",
    "start": "start, starts, starttime, startsec, begin, begintime, onset, from",
    "end": "end, ends, endtime, endsec, stop, stoptime, offset, to",
    "duration": "duration, durations, dur, length, durationsec",
}
"""Each column's name, then what else it is called: a table that has several of them means the first. Case, spaces and
``_-.`` between words do not count."""

_FIELD_WORDS = {field: tuple(words.replace(" ", "").split(",")) for field, words in SYNONYMS.items()}


def heading_key(heading: str) -> str:
    """Return what headings are compared by."""
    return re.sub(r"[\s_.\-]+", "", heading.casefold())


def columns_of(headings: Sequence[str]) -> dict[str, str]:
    """Return which of ``headings`` each known column goes by; those that there are not are left out."""
    by_key: dict[str, str] = {}
    for heading in headings:
        by_key.setdefault(heading_key(heading), heading)
    found = {}
    for field, words in _FIELD_WORDS.items():
        named = [by_key[word] for word in words if word in by_key]
        if named:
            found[field] = named[0]
    return found


def require(columns: Mapping[str, str], needed: Iterable[str], headings: Sequence[str], table: Path) -> None:
    """Check that ``columns`` has what is ``needed``.

    Raises:
        CorpusError: it has not; the message shows the headings of the table, and the nearest.
    """
    lacking = sorted(set(needed) - columns.keys())
    if not lacking:
        return
    said = f"{table} has no column {' and no column '.join(lacking)}"
    shown = [heading for heading in headings if heading]
    if not shown:
        raise CorpusError(f"{said}: it is empty" if not headings else f"{said}: its first line names no column")
    free = [heading for heading in shown if heading not in columns.values()]
    near = [hint for name in lacking if "did you mean" in (hint := nearest(name, free))]
    raise CorpusError(f"{said}: its first line has {', '.join(shown[:12])}{near[0] if near else ''}")
