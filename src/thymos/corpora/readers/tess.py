"""TESS, the Toronto Emotional Speech Set (Pichora-Fuller & Dupuis 2020; https://doi.org/10.5683/SP2/E8H2MF).

``OAF_back_angry.wav``: the older or the younger of two actresses, the word behind "Say the word …", the emotion; ``ps``
is pleasant surprise. One published file is called ``OA_bite_neutral``. Copies in circulation have digits and ``test``
before, or digits behind these names.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}


def _told(name: re.Match[str]) -> Told:
    return {
        "emotion": _EMOTIONS[name["emotion"].lower()],
        "speaker": f"{name['actress'].upper()}AF",
        "sentence": name["word"].lower(),
        "gender": FEMALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="tess",
        name="TESS",
        source="https://doi.org/10.5683/SP2/E8H2MF",
        paper="Pichora-Fuller & Dupuis 2020, Toronto Emotional Speech Set, Borealis",
        licence="CC BY-NC-ND 4.0",
        clips=2800,
        hours=1.6,
        speakers=2,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("en",),
        expects="files named OAF_back_angry: actress, word, emotion",
        note="200 words in every emotion: a random split leaks",
    ),
    named(r"(?:\d+test)?(?P<actress>[OY])AF?_(?P<word>[a-z]+)_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)\d*"),
    _told,
    "OAF_back_angry",
)
