"""What an installation brings, and by whose licences: python scripts/licences.py [EXTRA …] [--format cyclonedx].

The libraries are those that pip has installed here, found by their own metadata from what Thymos requires; parts that
come inside Thymos itself are named below. CycloneDX (version 1.6, JSON) is a software bill of materials, for scanners.
"""

import argparse
import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

from packaging.requirements import Requirement


class Part(NamedTuple):
    name: str
    version: str
    licence: str


OWN_PARTS = (
    Part("Silero VAD (weights/vad)", "6.2.3", "MIT"),
    Part("layers of openai/whisper-base (weights/encoder)", "base", "MIT"),
)
"""What lies inside the wheel and is not ours, with its licence beside it."""
WORDS = {
    "apache software license": "Apache-2.0", "mit license": "MIT", "bsd license": "BSD", "apache 2.0": "Apache-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0", "python software foundation license": "PSF-2.0", "mit": "MIT",
    "isc license (iscl)": "ISC", "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.1-or-later",
}  # fmt: skip
"""Classifiers of licences, and other old words, as SPDX has them."""
COPYLEFT = re.compile(r"(?<![A-Za-z])A?GPL|Affero|(?<!Lesser )General Public", re.IGNORECASE)
RESEARCH = re.compile(r"non.?commercial|research|academic|CC.BY.NC", re.IGNORECASE)


def parts_of(extras: tuple[str, ...] = ()) -> list[Part]:
    """Return what Thymos with ``extras`` brings where this runs, by name."""
    found: dict[str, Part] = {}
    to_see = [("thymos", extras)]
    seen = set()
    while to_see:
        name, wanted = to_see.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            own = distribution(name)
        except PackageNotFoundError:  # of another system, or not installed
            continue
        if name != "thymos":
            found[name] = Part(name, own.version, licence_of(own))
        for text in own.requires or ():
            needed = Requirement(text)
            if any(needed.marker is None or needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                to_see.append((re.sub(r"[-_.]+", "-", needed.name).lower(), tuple(sorted(needed.extras))))
    return [found[name] for name in sorted(found)]


def licence_of(own: Distribution) -> str:
    """Return a library's licence, in SPDX's words where they can be known: never more than a line."""
    metadata = own.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    lines = metadata.get_all("Classifier") or ()
    told = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License ::")]
    if not told and (text := metadata.get("License")):
        told = [text.strip().splitlines()[0]]
    return " AND ".join(sorted({WORDS.get(word.lower(), word) for word in told})) or "unknown"


def markdown(parts: list[Part]) -> str:
    lines = ["| part | version | licence |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {part.name} | {part.version} | {part.licence} |" for part in parts)])


def cyclonedx(parts: list[Part]) -> str:
    """Source: https://cyclonedx.org/docs/1.6/json/."""
    own = distribution("thymos")
    components = [
        {
            "type": "library" if part not in OWN_PARTS else "machine-learning-model",
            "name": part.name,
            "version": part.version,
            **({"purl": f"pkg:pypi/{part.name}@{part.version}"} if part not in OWN_PARTS else {}),
            "licenses": [{"license": {"name": part.licence}}],
        }
        for part in parts
    ]
    component = {"type": "application", "name": "thymos", "version": own.version}
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": component}}
    return json.dumps(head | {"components": components}, indent=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--format", choices=("markdown", "cyclonedx"), default="markdown")
    given = parser.parse_args()
    parts = [*parts_of(tuple(given.extras)), *OWN_PARTS]
    print(markdown(parts) if given.format == "markdown" else cyclonedx(parts))


if __name__ == "__main__":
    main()
