"""Kaldi's data folders: ``wav.scp``, ``utt2emo``, ``utt2spk`` and others, and ``segments``.

Kaldi takes a line of ``wav.scp`` that ends in ``|`` for a command to run. None is ever run here.
(https://kaldi-asr.org/doc/data_prep.html)
"""

from pathlib import Path

from thymos.corpora.code_pages import decoded
from thymos.corpora.dialects import TableRow
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import ListedFiles, Surroundings
from thymos.corpora.table import Exclusion, Listing
from thymos.errors import CorpusError
from thymos.files import MOST_TEXT_BYTES, bounded_bytes

KIND = "kaldi"
SCRIPT = "wav.scp"
LABELS = ("utt2emo", "utt2emotion", "utt2label", "emo", "emotion")
"""What people call the file that says each utterance's emotion."""

Lines = dict[str, tuple[int, str]]
"""What a file says of each key, and in which line."""


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a folder with a ``wav.scp``, or that file."""
    return (path / SCRIPT).is_file() or (path.name == SCRIPT and path.is_file())


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List the utterances of the folder at ``path``; paths are relative to it, or to ``where.base``.

    Raises:
        CorpusError: it does not say who feels what, a line cannot be read, or no file is there.
    """
    folder = path if path.is_dir() else path.parent
    recordings = _lines(folder / SCRIPT)
    labels = next((name for name in LABELS if (folder / name).is_file()), None)
    if labels is None:
        raise CorpusError(f"{folder} has wav.scp, and no utt2emo, which says the emotion of each utterance")
    emotions = _lines(folder / labels)
    speakers, words, languages = (_optional(folder / name) for name in ("utt2spk", "text", "utt2lang"))
    genders = _optional(folder / "spk2gender")
    files = ListedFiles(FileFinder(where.base or folder, where.base is not None))
    parts = _segments(folder / "segments") or {name: (name, "", "") for name in recordings}
    for utterance, (recording, start, end) in parts.items():
        if recording not in recordings:
            files.excluded.append(Exclusion(utterance, f"is a part of {recording}, which {SCRIPT} does not name"))
            continue
        at, source = recordings[recording]
        speaker = speakers.get(utterance, (0, ""))[1]
        cells = {
            "file": source,
            "start": start,
            "end": end,
            "emotion": emotions.get(utterance, (0, ""))[1],
            "speaker": speaker,
            "gender": {"f": "female", "m": "male"}.get(genders.get(speaker, (0, ""))[1].lower(), ""),
            "sentence": words.get(utterance, (0, ""))[1],
            "language": languages.get(utterance, (0, ""))[1],
        }
        files.add(SCRIPT, TableRow(at, cells, _problem(source)), {name: name for name in cells})
    for utterance in emotions.keys() - parts.keys():
        files.excluded.append(Exclusion(utterance, f"is in {labels}, and neither in {SCRIPT} nor in segments"))
    try:
        return files.listing(KIND)
    except CorpusError as error:
        raise CorpusError(f"{folder / SCRIPT}: {error}") from None


def _problem(source: str) -> str:
    if source.endswith("|") or source.startswith("|"):
        return "is a command, which is never run: write its sound to a file, and the path of that"
    return (
        ""
        if not source.rpartition(":")[0].endswith(".ark")
        else "is a place in an archive of Kaldi's, which is not read"
    )


def _lines(path: Path) -> Lines:
    try:
        text, _ = decoded(bounded_bytes(path, MOST_TEXT_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CorpusError(f"{path} cannot be read: {reason}") from None
    found: Lines = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        if not key:
            continue
        if found.setdefault(key, (number, rest.strip()))[1] != rest.strip():
            raise CorpusError(f"{path}, line {number}: {key} is there twice, and says two things")
    return found


def _optional(path: Path) -> Lines:
    return _lines(path) if path.is_file() else {}


def _segments(path: Path) -> dict[str, tuple[str, str, str]]:
    """Return recording, start and end of each utterance; Kaldi writes -1 for the end of the recording."""
    parts = {}
    for utterance, (line, rest) in _optional(path).items():
        cells = rest.split()
        if len(cells) != 3:
            raise CorpusError(f"{path}, line {line}, is not an utterance, a recording, a start and an end")
        recording, start, end = cells
        parts[utterance] = recording, start, "" if end.startswith("-1") else end
    return parts
