"""SUBESCO, the SUST Bangla Emotional Speech Corpus (Sultana et al. 2021, PLoS ONE 16(4), e0250173;
https://zenodo.org/records/4526477).

``F_02_MONIKA_S_1_NEUTRAL_5.wav``: gender, number and name of the speaker, sentence, emotion, take. Women and men are
numbered apart.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "ANGRY": "anger",
    "DISGUST": "disgust",
    "FEAR": "fear",
    "HAPPY": "happiness",
    "NEUTRAL": "neutral",
    "SAD": "sadness",
    "SURPRISE": "surprise",
}


def _told(name: re.Match[str]) -> Told:
    gender = name["gender"].upper()
    return {
        "emotion": _EMOTIONS[name["emotion"].upper()],
        "speaker": f"{gender}_{name['number']}_{name['name'].upper()}",
        "sentence": name["sentence"],
        "take": name["take"],
        "gender": FEMALE if gender == "F" else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="subesco",
        name="SUBESCO",
        source="https://zenodo.org/records/4526477",
        paper="Sultana et al. 2021, PLoS ONE 16(4), e0250173",
        licence="CC BY 4.0",
        clips=7000,
        hours=7.7,
        speakers=20,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("bn",),
        expects="files named F_02_MONIKA_S_1_NEUTRAL_5: gender, number, name, sentence, emotion, take",
    ),
    named(
        r"(?P<gender>[FM])_(?P<number>\d\d)_(?P<name>[^\W\d_]+)_S_(?P<sentence>\d{1,2})_"
        rf"(?P<emotion>{'|'.join(_EMOTIONS)})_(?P<take>\d)"
    ),
    _told,
    "F_02_MONIKA_S_1_NEUTRAL_5",
)
