"""ESD, the Emotional Speech Dataset (Zhou et al. 2022, Speech Communication 137, 1–18;
https://github.com/HLTSingapore/Emotional-Speech-Data).

``0011/Angry/train/0011_000351.wav``, or without the folders of the split, as the second release has it. Speakers 0001
to 0010 speak Mandarin, the others English; who is a man, the archive's ``ReadMe.txt`` tells. ``0011/0011.txt`` lists
every file with its text and emotion, in several encodings. In each emotion the same 350 texts follow one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from thymos.corpora.code_pages import decoded
from thymos.corpora.readers.named_corpus import FEMALE, MALE, KnownCorpus, NamedCorpus, Told, matched, named, share_of
from thymos.corpora.table import Listing
from thymos.labels import to_emotion

_BLOCKS = ("neutral", "anger", "happiness", "sadness", "surprise")
"""Of 350 texts each, in the order of their numbers."""
_TEXTS = 350
_MEN = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}
_LAST_MANDARIN = 10
_MANDARIN = {"中立": "neutral", "生气": "anger", "快乐": "happiness", "伤心": "sadness", "惊喜": "surprise"}
# To its publisher, who tunes synthesis with it, the evaluation set is what others call validation.
_SPLITS = {"train": "train", "evaluation": "validation", "test": "test"}
_NAME = named(r"(?P<speaker>00(?:0[1-9]|1\d|20))_(?P<number>\d{6})")


@dataclass(frozen=True)
class _Esd(NamedCorpus):
    about: KnownCorpus
    example: str = "0011_000351"

    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of ``files`` has names that match."""
        return share_of(files, _NAME)

    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files``: their emotions are those of their folders, else of the lists, else of their numbers."""
        listed: dict[PurePosixPath, dict[str, str]] = {}

        def tell(path: PurePosixPath) -> Told | None:
            match = matched(path, _NAME)
            if match is None or not 1 <= int(match["number"]) <= _TEXTS * len(_BLOCKS):
                return None
            speaker, number = int(match["speaker"]), int(match["number"]) - 1
            place = _speakers_folder(path, match["speaker"])
            if place is not None and place not in listed:
                listed[place] = _emotions(root / place / f"{match['speaker']}.txt")
            by_list = listed[place].get(path.stem) if place is not None else None
            by_folder = next((known for part in reversed(path.parts[:-1]) if (known := to_emotion(part))), None)
            language = "zh" if speaker <= _LAST_MANDARIN else "en"
            return {
                "emotion": by_list or by_folder or _BLOCKS[number // _TEXTS],
                "speaker": match["speaker"],
                "sentence": f"{language}{number % _TEXTS + 1:03d}",
                "gender": MALE if speaker in _MEN else FEMALE,
                "language": language,
                "split": next((_SPLITS[part.lower()] for part in path.parts[:-1] if part.lower() in _SPLITS), ""),
            }

        return self.listing(root, files, tell)


def _speakers_folder(path: PurePosixPath, speaker: str) -> PurePosixPath | None:
    return next((folder for folder in path.parents if folder.name == speaker), None)


def _emotions(table: Path) -> dict[str, str]:
    """Return the emotion of each file that a speaker's list names; none where there is no list."""
    try:
        text, _ = decoded(table.read_bytes())
    except (OSError, ValueError):
        return {}
    rows = (line.split("\t") for line in text.splitlines())
    told = ((row[0].strip(), row[2].strip()) for row in rows if len(row) == 3)
    known = ((name, _MANDARIN.get(word) or to_emotion(word)) for name, word in told)
    return {name: emotion for name, emotion in known if emotion}


READER = _Esd(
    KnownCorpus(
        kind="esd",
        name="ESD",
        source="https://github.com/HLTSingapore/Emotional-Speech-Data",
        paper="Zhou et al. 2022, Speech Communication 137, 1–18",
        licence="research only, by a signed form",
        clips=35000,
        hours=29.1,
        speakers=20,
        emotions=("anger", "happiness", "sadness", "neutral", "surprise"),
        languages=("zh", "en"),
        expects="files named 0011_000351 in folders of speakers and emotions, with train, evaluation and test or "
        "without; lists such as 0011.txt",
        note="its evaluation set counts as validation; the same 350 texts in every emotion",
    )
)
