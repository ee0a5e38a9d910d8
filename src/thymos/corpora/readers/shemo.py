"""ShEMO, the Sharif Emotional Speech Database (Mohamad Nezami et al. 2019, Language Resources and Evaluation 53,
1–16; https://github.com/mansourehk/ShEMO).

``female/F01A01.wav``: gender and number of the speaker, emotion, number of the utterance. No two are the same sentence:
they are cut from radio plays.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {"A": "anger", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness", "W": "surprise"}


def _told(name: re.Match[str]) -> Told:
    speaker = name["speaker"].upper()
    return {
        "emotion": _EMOTIONS[name["emotion"].upper()],
        "speaker": speaker,
        "take": name["utterance"],
        "gender": FEMALE if speaker[0] == "F" else MALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="shemo",
        name="ShEMO",
        source="https://github.com/mansourehk/ShEMO",
        paper="Mohamad Nezami et al. 2019, Language Resources and Evaluation 53, 1–16",
        licence="free for research",
        clips=3000,
        hours=3.4,
        speakers=87,
        emotions=("anger", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("fa",),
        expects="files named F01A01: gender, speaker, emotion, utterance",
        note="fear is said 38 times only, so that most studies leave it out: --label-map fear=",
    ),
    named(r"(?P<speaker>[FM]\d\d)(?P<emotion>[AFHNSW])(?P<utterance>\d\d)"),
    _told,
    "F01A01",
)
