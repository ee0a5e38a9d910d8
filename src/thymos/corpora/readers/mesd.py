"""MESD, the Mexican Emotional Speech Database (Duville et al. 2021, Data 6(12), 130;
https://data.mendeley.com/datasets/cy34mh68j9).

``Anger_C_A_abajo.wav``: emotion, voice (F a woman's, M a man's, C a child's), list of words, word. Which of its eleven
speakers it is, no name tells.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_VOICES = {"F": FEMALE, "M": MALE, "C": "child"}


def _told(name: re.Match[str]) -> Told:
    return {
        "emotion": name["emotion"].lower(),
        "sentence": name["word"].lower(),
        "take": name["list"].upper(),
        "gender": _VOICES[name["voice"].upper()],
    }


READER = FileNames(
    KnownCorpus(
        kind="mesd",
        name="MESD",
        source="https://data.mendeley.com/datasets/cy34mh68j9",
        paper="Duville et al. 2021, Data 6(12), 130",
        licence="CC BY 4.0",
        clips=864,
        hours=0.2,
        speakers=11,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral"),
        languages=("es",),
        expects="files named Anger_C_A_abajo: emotion, voice, list of words, word",
        note="no file tells its speaker, so that protocols by speaker cannot be had",
    ),
    named(
        r"(?P<emotion>anger|disgust|fear|happiness|neutral|sadness)_(?P<voice>[FMC])_(?P<list>[AB])_"
        r"(?P<word>[^\W\d_][\w .-]*)"
    ),
    _told,
    "Anger_C_A_abajo",
)
