"""TurEV-DB, the Turkish Emotion-Voice Database (Canpolat et al. 2020, SLTU, 368–375;
https://github.com/Xeonen/TurEV-DB).

``Sound Source/Angry/1157_kz_acik.wav``: speaker, letters of the emotion's Turkish name, word.
"""

import re

from thymos.corpora.readers.named_corpus import FileNames, KnownCorpus, Told, named

_EMOTIONS = {"kz": "anger", "sk": "calm", "mt": "happiness", "hl": "sadness"}


def _told(name: re.Match[str]) -> Told:
    return {
        "emotion": _EMOTIONS[name["emotion"].lower()],
        "speaker": name["speaker"],
        "sentence": name["word"].lower(),
    }


READER = FileNames(
    KnownCorpus(
        kind="turev-db",
        name="TurEV-DB",
        source="https://github.com/Xeonen/TurEV-DB",
        paper="Canpolat et al. 2020, SLTU, 368–375",
        licence="CC BY-NC-ND 4.0",
        clips=1735,
        hours=0.5,
        speakers=6,
        emotions=("anger", "happiness", "sadness", "calm"),
        languages=("tr",),
        expects="files named 1157_kz_acik: speaker, emotion, word",
        note="its spectrograms, which lie beside the sound, are passed over",
    ),
    named(r"(?P<speaker>\d{4})_(?P<emotion>kz|sk|mt|hl)_(?P<word>\w+)"),
    _told,
    "1157_kz_acik",
)
