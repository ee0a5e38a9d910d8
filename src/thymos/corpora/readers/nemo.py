"""nEMO, the dataset of emotional speech in Polish (Christop 2024, LREC-COLING; https://github.com/amu-cai/nEMO).

``samples/SM0_anger_38.wav``: speaker, emotion, sentence. The speakers' genders are those in the publisher's
``data.tsv``.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_WOMEN = {"EB0", "IC0", "KD0", "MK0"}
_MEN = {"KS0", "MP0", "SM0", "TP0", "WR0"}


def _told(name: re.Match[str]) -> Told:
    speaker, emotion = name["speaker"].upper(), name["emotion"].lower()
    return {
        "emotion": "surprise" if emotion == "surprised" else emotion,
        "speaker": speaker,
        "sentence": name["sentence"],
        "gender": FEMALE if speaker in _WOMEN else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="nemo",
        name="nEMO",
        source="https://github.com/amu-cai/nEMO",
        paper="Christop 2024, LREC-COLING, 12111–12116",
        licence="CC BY-NC-SA 4.0",
        clips=4481,
        hours=3.1,
        speakers=9,
        emotions=("anger", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("pl",),
        expects="files named SM0_anger_38: speaker, emotion, sentence",
    ),
    named(
        rf"(?P<speaker>{'|'.join(sorted(_WOMEN | _MEN))})_"
        r"(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)_(?P<sentence>\d{1,2})"
    ),
    _told,
    "SM0_anger_38",
)
