"""CaFE, the Canadian French Emotional speech dataset (Gournay et al. 2018, ACM MMSys, 399–402;
https://zenodo.org/records/1478765).

``Colère/Fort/01-C-2-1.wav``: actor, first letter of the emotion's French name, intensity (1 weak, 2 strong), sentence.
Odd actors are men, even ones women. It comes in 48 kHz and in 192 kHz: where both lie there, the WAV files are read.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "C": "anger",
    "D": "disgust",
    "J": "happiness",
    "N": "neutral",
    "P": "fear",
    "S": "surprise",
    "T": "sadness",
}


def _told(name: re.Match[str]) -> Told:
    emotion = _EMOTIONS[name["emotion"].upper()]
    weak_or_strong = "strong" if name["intensity"] == "2" else "weak"
    return {
        "emotion": emotion,
        "speaker": name["actor"],
        "sentence": name["sentence"],
        "gender": MALE if int(name["actor"]) % 2 else FEMALE,
        "intensity": "" if emotion == "neutral" else weak_or_strong,
    }


READER = FileNames(
    KnownCorpus(
        kind="cafe",
        name="CaFE",
        source="https://zenodo.org/records/1478765",
        paper="Gournay et al. 2018, ACM MMSys, 399–402",
        licence="CC BY-NC-SA 4.0",
        clips=936,
        hours=1.2,
        speakers=12,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("fr",),
        expects="files named 01-C-1-1: actor, emotion, intensity, sentence",
    ),
    named(r"(?P<actor>0[1-9]|1[0-2])-(?P<emotion>[CDJNPST])-(?P<intensity>[12])-(?P<sentence>[1-6])"),
    _told,
    "01-C-1-1",
)
