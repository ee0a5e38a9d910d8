"""Writes the fingerprints of what an encoder has heard beside it, for one that was made by a version without them.

    python scripts/write_heard.py src/thymos/weights/encoder CORPORA/clips.csv --models src/thymos/weights/thymos*

Clips are known by their digests, which the encoder has. Its weights stay as they are; encoder.json tells the new file's
SHA-256, and model.json of each of the models, which hear by the encoder, that of both. `thymos pretrain` does all this
itself.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from thymos.corpora import open_corpus
from thymos.corpora.near_copies import SPARSE, from_text
from thymos.encoder.sounds import digest_of
from thymos.encoder.weights import ABOUT, HEARD, read_encoder, write_heard
from thymos.files import write_json
from thymos.runtime.bundle import ABOUT as MODEL_ABOUT
from thymos.runtime.model_files import sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--models", nargs="*", type=Path, default=[])
    parser.add_argument("--cache-dir", type=Path)
    given = parser.parse_args()
    encoder = read_encoder(given.encoder)
    by_digest = {
        digest_of(clip): clip.sound.fingerprint
        for spec in given.corpora
        for clip in open_corpus(spec, cache_dir=given.cache_dir).clips
    }
    known = [digest for digest in encoder.clips_seen.tolist() if by_digest.get(digest)]
    write_heard(given.encoder, [from_text(by_digest[digest])[::SPARSE] for digest in known])
    add_digests(given.encoder / ABOUT, given.encoder, [HEARD])
    for model in given.models:
        add_digests(model / MODEL_ABOUT, given.encoder, [ABOUT, HEARD])
    content = (given.encoder / HEARD).stat().st_size
    print(f"{len(known)} of {len(encoder.clips_seen)} clips, {content / 1e6:.2f} MB")
    print(f"not among the corpora, or without a fingerprint: {len(np.setdiff1d(encoder.clips_seen, known))}")


def add_digests(about: Path, folder: Path, names: list[str]) -> None:
    """Tell the SHA-256 of those files of ``folder`` in a description."""
    told = json.loads(about.read_text(encoding="utf-8"))
    told["sha256"] = dict(
        sorted((told["sha256"] | {name: sha256((folder / name).read_bytes()) for name in names}).items())
    )
    write_json(about, told)


if __name__ == "__main__":
    main()
