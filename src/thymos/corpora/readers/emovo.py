"""EMOVO, the Italian emotional speech database (Costantini et al. 2014, LREC, 3501–3504).

``f1/dis-f1-b1.wav``: emotion by the first letters of its Italian name, speaker, sentence.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}


def _told(name: re.Match[str]) -> Told:
    speaker = name["speaker"].lower()
    return {
        "emotion": _EMOTIONS[name["emotion"].lower()],
        "speaker": speaker,
        "sentence": name["sentence"].lower(),
        "gender": FEMALE if speaker[0] == "f" else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="emovo",
        name="EMOVO",
        source="http://voice.fub.it/activities/corpora/emovo/index.html",
        paper="Costantini et al. 2014, LREC, 3501–3504",
        licence="free for research",
        clips=588,
        hours=0.5,
        speakers=6,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("it",),
        expects="files named dis-f1-b1: emotion, speaker, sentence",
    ),
    named(r"(?P<emotion>dis|gio|neu|pau|rab|sor|tri)-(?P<speaker>[fm][123])-(?P<sentence>[a-z]\d)"),
    _told,
    "dis-f1-b1",
)
