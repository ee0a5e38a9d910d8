"""JL-Corpus, emotional speech of New Zealand English (James et al. 2018, Interspeech, 2768–2772;
https://www.kaggle.com/datasets/tli725/jl-corpus).

``female1_angry_10a_1.wav``: speaker, emotion, sentence with a letter, repetition. A sentence here is its number alone,
so that nothing which might be said twice is in two groups. Five emotions are primary, five secondary.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "angry": "anger",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    **{word: word for word in ("anxious", "apologetic", "assertive", "concerned", "encouraging", "excited")},
}


def _told(name: re.Match[str]) -> Told:
    speaker = name["speaker"].lower()
    return {
        "emotion": _EMOTIONS[name["emotion"].lower()],
        "speaker": speaker,
        "sentence": name["sentence"],
        "take": f"{name['letter'].lower()}{name['repetition']}",
        "gender": FEMALE if speaker.startswith("f") else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="jl-corpus",
        name="JL-Corpus",
        source="https://www.kaggle.com/datasets/tli725/jl-corpus",
        paper="James et al. 2018, Interspeech, 2768–2772",
        licence="CC0 1.0",
        clips=2400,
        hours=1.4,
        speakers=4,
        emotions=(
            "anger", "happiness", "sadness", "neutral",
            "anxious", "apologetic", "assertive", "concerned", "encouraging", "excited",
        ),
        languages=("en",),
        expects="files named female1_angry_10a_1: speaker, emotion, sentence, repetition",
        note="anxious, apologetic, assertive, concerned and encouraging are its secondary emotions",
    ),
    named(
        rf"(?P<speaker>(?:fe)?male[12])_(?P<emotion>{'|'.join(_EMOTIONS)})_(?P<sentence>\d{{1,2}})(?P<letter>[ab])_"
        r"(?P<repetition>[12])"
    ),
    _told,
    "female1_angry_10a_1",
)  # fmt: skip
