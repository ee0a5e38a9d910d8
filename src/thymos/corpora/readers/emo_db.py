"""EMO-DB, the Berlin Database of Emotional Speech (Burkhardt et al. 2005, Interspeech; http://emodb.bilderbar.info).

``wav/03a01Wa.wav``: speaker, text, emotion by the first letter of its German name, version. The publisher's page tells
who of the ten speakers is a man. Its successor EmoDB 2.0 comes as an audformat database, and is read as one.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
_MEN = {"03", "10", "11", "12", "15"}


def _told(name: re.Match[str]) -> Told:
    return {
        "emotion": _EMOTIONS[name["emotion"].upper()],
        "speaker": name["speaker"],
        "sentence": name["text"].lower(),
        "take": name["version"].lower(),
        "gender": MALE if name["speaker"] in _MEN else FEMALE,
    }


READER = FileNames(
    KnownCorpus(
        kind="emo-db",
        name="EMO-DB",
        source="http://emodb.bilderbar.info",
        paper="Burkhardt et al. 2005, Interspeech, 1517–1520",
        licence="free to use; audEERING publishes it as CC0 1.0",
        clips=535,
        hours=0.4,
        speakers=10,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "boredom"),
        languages=("de",),
        expects="files named 03a01Wa: speaker, text, letter of the German emotion, version",
    ),
    named(r"(?P<speaker>03|08|09|1[0-6])(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<version>[a-z]?)"),
    _told,
    "03a01Wa",
)
