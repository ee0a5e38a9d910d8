"""What the columns of a table are called, in the words that tables of the field use."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from thymos.audio.search import is_sound_name
from thymos.config import nearest
from thymos.errors import CorpusError
from thymos.labels import DIMENSIONS, to_emotion

SYNONYMS = {
    "file": "file, filename, filepath, path, audio, audiofile, audiofilename, audiopath, wav, wavfile, wavname, "
    "wavpath, sound, soundfile, recording, clip, clipname, fname, fullpath, location, "
    "audiofilepath, relpath, relativepath, wavfilepath, Datei, Dateiname, fichier, "
    "archivo, arquivo, plik, dosya, bestand, αρχείο, файл, 文件, 文件名, 音频",
    "emotion": "emotion, emotions, label, labels, emo, emotionlabel, emotionname, emotioncategory, emotionclass, "
    "emoclass, majoremotion, category, class, target, goldlabel, labelname, labeltext, Gefühl, emoción, emozione, "
    "emoção, emocja, duygu, emotie, συναίσθημα, эмоция, 情感, 情绪",
    "speaker": "speaker, speakerid, spk, spkr, spkid, spkrid, actor, actorid, actress, subject, subjectid, "
    "participant, participantid, client, clientid, voice, talker, Sprecher, Sprecherin, locuteur, hablante, locutor, "
    "parlante, mówca, spreker, ομιλητής, диктор, 说话人",
    "sentence": "sentence, sentenceid, text, transcript, transcription, statement, phrase, prompt, utterancetext, "
    "Satz, frase, zdanie, cümle, πρόταση, 句子",
    "take": "take, takeid, repetition, rep",
    "corpus": "corpus, dataset, database, db, corpusname, datasetname",
    "gender": "gender, sex, speakergender, spkgender, Geschlecht, sexe, género, cinsiyet, φύλο, 性别",
    "language": "language, lang, locale",
    "intensity": "intensity, emotionalintensity, emotionintensity, strength",
    "split": "split, splitset, partition, subset, set",
    "arousal": "arousal, activation, emoact, act, aro, arousalmean, meanarousal, avgarousal",
    "valence": "valence, emoval, val, valencemean, meanvalence, avgvalence, pleasure",
    "dominance": "dominance, emodom, dom, potency, dominancemean, meandominance, avgdominance",
    "fold": "fold, foldid, foldnumber, cvfold",
    "start": "start, starts, starttime, startsec, begin, begintime, onset, from",
    "end": "end, ends, endtime, endsec, stop, stoptime, offset, to",
    "duration": "duration, durations, dur, length, durationsec",
    "start_ms": "startms, starttimems, beginms, begintimems, onsetms, frommillis, startmillis",
    "end_ms": "endms, endtimems, stopms, stoptimems, tomillis, endmillis",
    "duration_ms": "durationms, durms, lengthms",
}
"""Each column's name, then what else it is called: a table that has several of them means the first. Case, accents,
spaces and ``_-.`` between words do not count. Times are in seconds, unless the name says milliseconds."""

MOST_SHOWN = 12
"""Headings, where a column is not found."""
Chosen = Mapping[str, str]
"""Columns that the user names: what they are, such as ``emotion``, and the heading that each goes by."""


def heading_key(heading: str) -> str:
    """Return what headings are compared by."""
    letters = unicodedata.normalize("NFD", heading.casefold())
    return re.sub(r"[\s_.\-]+", "", "".join(letter for letter in letters if not unicodedata.combining(letter)))


_FIELD_WORDS = {field: tuple(map(heading_key, (field, *words.split(", ")))) for field, words in SYNONYMS.items()}
_COUNTED = re.compile(r"(?:start|begin|onset|end|stop|offset|duration|length)(?:in)?(?:sample|frame|idx|index)s?")
"""Headings of times that are no times: they count samples or frames."""


def columns_of(headings: Sequence[str], chosen: Chosen = MappingProxyType({})) -> dict[str, str]:
    """Return which of ``headings`` each known column goes by; those that there are not are left out.

    What is ``chosen`` goes by that heading and by no other; a heading that was chosen for one column is no other's.
    """
    by_key: dict[str, str] = {}
    for heading in headings:
        by_key.setdefault(heading_key(heading), heading)
    own = {field: _heading(chosen[field], headings, by_key) for field in chosen}
    found = {}
    for field, words in _FIELD_WORDS.items():
        named = [by_key[word] for word in words if word in by_key and by_key[word] not in own.values()]
        if heading := own[field] if field in own else (named[0] if named else ""):
            found[field] = heading
    return found


def _heading(wanted: str, headings: Sequence[str], by_key: Mapping[str, str]) -> str:
    return wanted if wanted in headings else by_key.get(heading_key(wanted), "")


def with_files(
    columns: Mapping[str, str], headings: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> dict[str, str]:
    """Return ``columns``, and where none is of files by its name, the one whose cells are named like sound as that.

    Args:
        columns: as ``columns_of`` returns them.
        headings: of the table.
        rows: its cells by heading.
    """
    if "file" in columns:
        return dict(columns)

    def names_sound(heading: str) -> bool:
        cells = [cell for row in rows if (cell := row.get(heading, ""))]
        return 2 * sum(map(is_sound_name, cells)) > len(cells)

    found = [heading for heading in headings if heading and heading not in columns.values() and names_sound(heading)]
    return dict(columns) | ({"file": found[0]} if len(found) == 1 else {})


_GENDERS = {
    word: gender
    for gender, words in {
        "female": "f, w, female, woman, weiblich, Frau, féminin, femme, femenino, mujer, femminile, femmina, donna, "
        "feminino, mulher, kobieta, kadın, vrouw, vrouwelijk, γυναίκα, 女, 女性",
        "male": "m, male, man, männlich, Mann, masculin, homme, masculino, hombre, maschile, maschio, uomo, homem, "
        "mężczyzna, erkek, mannelijk, άνδρας, 男, 男性",
    }.items()
    for word in map(heading_key, words.split(", "))
}


def gender_of(word: str) -> str:
    """Return what a cell says of who speaks: ``female``, ``male``, or its own word."""
    return _GENDERS.get(heading_key(word), word)


def others_for(field: str, columns: Mapping[str, str], headings: Sequence[str]) -> list[str]:
    """Return the headings, beside the one that ``columns`` has, that ``field`` could go by, too."""
    words = set(_FIELD_WORDS[field])
    return [heading for heading in headings if heading_key(heading) in words and heading not in columns.values()]


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """Return the columns that ``texts``, each such as ``emotion=label2,speaker=spk``, choose; see ``chosen_columns``.

    Raises:
        CorpusError: a part of one chooses nothing, or two are about one column.
    """
    pairs = []
    for part in filter(None, (part.strip() for text in texts for part in text.split(","))):
        word, equals, heading = (each.strip() for each in part.partition("="))
        if not (word and equals and heading):
            raise CorpusError(f"--columns {part}: a column and its heading are needed, such as emotion=label2")
        pairs.append((word, heading))
    return chosen_columns(pairs)


def chosen_columns(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return ``pairs`` of a column, by any of ``SYNONYMS`` (``target`` is ``emotion``), and its heading as one choice.

    Raises:
        CorpusError: there is no such column, or two of them are one.
    """
    chosen: dict[str, str] = {}
    for word, heading in pairs:
        field = next((field for field, words in _FIELD_WORDS.items() if heading_key(word) in words), None)
        if field is None:
            raise CorpusError(f"columns {word}={heading}: there is no {word!r}{nearest(word, list(SYNONYMS))}")
        if chosen.setdefault(field, heading) != heading:
            raise CorpusError(f"columns: two headings for {field}, {chosen[field]} and {heading}")
    return chosen


def truths_in(columns: Mapping[str, str], headings: Sequence[str]) -> tuple[str, ...]:
    """Return what a table needs beside its files: a column of emotions, or one of a dimension.

    Where a heading is nearly ``emotion``, that is what is meant.
    """
    free = [heading for heading in headings if heading not in columns.values()]
    told = any(name in columns for name in DIMENSIONS) and "did you mean" not in nearest("emotion", free)
    return () if told else ("emotion",)


def require(
    columns: Mapping[str, str],
    needed: Iterable[str],
    headings: Sequence[str],
    table: Path,
    chosen: Chosen | None = None,
) -> None:
    """Check that ``columns`` has what is ``needed``, and what is ``chosen``; None: nobody could choose.

    Raises:
        CorpusError: it has not; the message shows the headings of the table, and the nearest.
    """
    counted = [heading for heading in headings if _COUNTED.fullmatch(heading_key(heading))]
    if counted and "start" not in columns and "end" not in columns:
        raise CorpusError(
            f"{table} has the column {counted[0]}, which counts samples or frames, and stretches are cut by time: give "
            "start and end in seconds, or start_ms and end_ms"
        )
    twice = [heading for heading in columns.values() if headings.count(heading) > 1]
    if twice:
        raise CorpusError(f"{table} has two columns {twice[0]}: rename the one that is not meant")
    own = chosen or {}
    lacking = sorted(own.get(name, name) for name in {*needed, *own} - columns.keys())
    if not lacking:
        return
    said = f"{table} has no column {' and no column '.join(lacking)}"
    shown = [heading for heading in headings if heading]
    if not shown:
        raise CorpusError(f"{said}: it is empty" if not headings else f"{said}: its first line names no column")
    free = [heading for heading in shown if heading not in columns.values()]
    near = [hint for name in lacking if "did you mean" in (hint := nearest(name, free))]
    many = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    if any(is_sound_name(word) for heading in shown for word in (heading, *heading.split())):
        raise CorpusError(
            f"{said}: its first line ({', '.join(shown[:MOST_SHOWN])}) is a row already; write headings above it, such "
            "as file,emotion"
        )
    votes = [heading for heading in free if to_emotion(re.sub(r"^(?:p|prob|is)[_ ]", "", heading))]
    if "emotion" in lacking and len(votes) > 1:
        raise CorpusError(f"{said}, but {len(votes)} named for emotions ({', '.join(votes)}): one must name it")
    choose = (
        "" if chosen is None or lacking[0] not in SYNONYMS else f"; --columns {lacking[0]}=HEADING says which it is"
    )
    raise CorpusError(f"{said}: its first line has {', '.join(shown[:MOST_SHOWN])}{many}{near[0] if near else choose}")
