"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song (Livingstone & Russo 2018, PLoS ONE 13(5),
e0196391; https://zenodo.org/records/1188976).

``Actor_12/03-01-06-01-02-01-12.wav``: modality (01 sound and picture, 02 picture, 03 sound), channel (01 speech, 02
song), emotion, intensity (01 normal, 02 strong), statement, repetition, actor. Odd actors are male, even ones female.
"""

import re

from thymos.corpora.readers.named_corpus import FEMALE, MALE, FileNames, KnownCorpus, Told, named

_EMOTIONS = dict(
    zip(
        ("01", "02", "03", "04", "05", "06", "07", "08"),
        ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise"),
        strict=True,
    )
)


def _told(name: re.Match[str]) -> Told:
    if name["modality"] == "02":
        return "is a picture without sound, by its name"
    song = "song " if name["channel"] == "02" else ""
    return {
        "emotion": _EMOTIONS[name["emotion"]],
        "speaker": name["actor"],
        "sentence": name["statement"],
        "take": f"{song}{name['repetition']}",
        "gender": MALE if int(name["actor"]) % 2 else FEMALE,
        "intensity": "strong" if name["intensity"] == "02" else "normal",
    }


READER = FileNames(
    KnownCorpus(
        kind="ravdess",
        name="RAVDESS",
        source="https://zenodo.org/records/1188976",
        paper="Livingstone & Russo 2018, PLoS ONE 13(5), e0196391",
        licence="CC BY-NC-SA 4.0",
        clips=1440,
        hours=1.5,
        speakers=24,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "calm", "surprise"),
        languages=("en",),
        expects="files named 03-01-06-01-02-01-12: modality, speech or song, emotion, intensity, statement, "
        "repetition, actor",
        note="1440 spoken clips; 1012 sung ones by 23 of the actors are read, too, and their take begins with song",
    ),
    named(
        r"(?P<modality>0[123])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-"
        r"(?P<repetition>0[12])-(?P<actor>0[1-9]|1\d|2[0-4])"
    ),
    _told,
    "03-01-06-01-02-01-12",
)
