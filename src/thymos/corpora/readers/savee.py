"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq & Jackson 2009, AVSP; http://kahlan.eps.surrey.ac.uk/savee).

``AudioData/DC/a01.wav``: a man's initials, and letters of the emotion with the number of the sentence in it; the copy
that circulates says ``DC_a01.wav``. Most sentences are an emotion's own; three are said in all.
"""

import re

from thymos.corpora.readers.named_corpus import MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def _told(name: re.Match[str]) -> Told:
    letters = name["emotion"].lower()
    return {
        "emotion": _EMOTIONS[letters],
        "speaker": name["speaker"].upper(),
        "sentence": f"{letters}{name['number']}",
        "gender": MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="savee",
        name="SAVEE",
        source="http://kahlan.eps.surrey.ac.uk/savee",
        paper="Haq & Jackson 2009, AVSP, 53–58",
        licence="free for research, after registration",
        clips=480,
        hours=0.5,
        speakers=4,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("en",),
        expects="files named a01, sa01 … in folders DC, JE, JK and KL, or DC_a01: speaker, emotion, sentence",
        note="sentences are numbered within an emotion, so that the three common ones have seven names",
    ),
    named(r"(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>sa|su|[adfhn])(?P<number>\d\d)"),
    _told,
    "DC/a01",
)
