"""ASED, the Amharic Speech Emotion Dataset (Retta et al. 2023, ACM TALLIP 22(1); https://github.com/wgwangang/ASED_V1).

``a5-03-01-02-50.wav``: letter and number of the emotion, sentence in it, repetition, gender (01 female, 02 male),
speaker. Of each emotion's seven sentences five are its own.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {"n1": "neutral", "f2": "fear", "h3": "happiness", "s4": "sadness", "a5": "anger"}


def _told(name: re.Match[str]) -> Told:
    code = name["emotion"].lower()
    return {
        "emotion": _EMOTIONS[code],
        "speaker": name["speaker"],
        "sentence": f"{code}-{name['sentence']}",
        "take": name["repetition"],
        "gender": FEMALE if name["gender"] == "01" else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="ased",
        name="ASED",
        source="https://github.com/wgwangang/ASED_V1",
        paper="Retta et al. 2023, ACM TALLIP 22(1), 1–22",
        licence="free for research",
        clips=2474,
        hours=2.1,
        speakers=65,
        emotions=("anger", "fear", "happiness", "sadness", "neutral"),
        languages=("am",),
        expects="files named a5-03-01-02-50: emotion, sentence, repetition, gender, speaker",
        note="25 of the 27 sentences are said in one emotion only: a random split leaks",
    ),
    named(r"(?P<emotion>n1|f2|h3|s4|a5)-(?P<sentence>\d\d)-(?P<repetition>\d\d)-(?P<gender>0[12])-(?P<speaker>\d\d)"),
    _told,
    "a5-03-01-02-50",
)
