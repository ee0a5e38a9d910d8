"""A voice that is known: what is kept of its recordings, a few numbers of each and never sound, and its file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from thymos.cache import default_cache_dir, opened_seal, write_sealed
from thymos.errors import BundleError
from thymos.runtime.adaptation import Coordinates, Offset, VoiceSpace
from thymos.runtime.model_files import read_json

FORMAT = 2
_KEPT_AS = "voice"
"""In its digest: the file may be called otherwise, or copied."""
LARGEST = 1e6
"""No coordinate comes near, and sums of what is far larger would be no numbers."""


@dataclass(frozen=True)
class Voice:
    """What is known of a voice.

    Attributes:
        name: whose it is.
        model: name and version of the model that heard it.
        head: SHA-256 of the head that its coordinates are of.
        coordinates: of its recordings, or of the windows of long ones, shape ``(clips, Q)``.
        speech_s: seconds of speech in them.
    """

    name: str
    model: str
    head: str
    coordinates: Coordinates
    speech_s: float

    def offset(self, space: VoiceSpace, among: Sequence[int] | None = None) -> Offset:
        """Return how the voice lies apart; ``among`` as in ``VoiceSpace.offset``.

        Raises:
            BundleError: its coordinates are of another space.
        """
        if self.coordinates.shape[1] != len(space.origin):
            raise BundleError(f"the voice {self.name} is of another space than the model's: enrol it anew")
        return space.offset(self.coordinates, among)

    def with_more(self, other: "Voice") -> "Voice":
        """Return the voice as it is known by its own recordings and those of ``other``, of the same model.

        Raises:
            BundleError: another model heard them.
        """
        if other.head != self.head:
            raise BundleError(f"the voice {self.name} was enrolled with another head than that of {other.model}")
        both = np.concatenate([self.coordinates, other.coordinates])
        return Voice(self.name, self.model, self.head, both, self.speech_s + other.speech_s)

    def doubts(self, space: VoiceSpace) -> list[str]:
        """Return what speaks against relying on it, in words; nothing if nothing does."""
        return self.offset(space).doubts

    def save(self, path: Path) -> None:
        """Write it to ``path``, whole or not at all."""
        content = {"format": FORMAT, **asdict(self)}
        content["coordinates"] = [[round(float(value), 4) for value in row] for row in self.coordinates]
        content["speech_s"] = round(self.speech_s, 3)
        write_sealed(path, content, name=_KEPT_AS)


class _VoiceFile(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    format: int
    name: str = Field(min_length=1)
    model: str
    head: str
    coordinates: list[list[float]] = Field(min_length=1)
    speech_s: float = Field(ge=0)


def read_voice(path: Path) -> Voice:
    """Read a voice's file.

    Raises:
        BundleError: it cannot be read, or is none.
    """
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found == FORMAT and (content := opened_seal(content, (), _KEPT_AS)) is None:
        raise BundleError(f"{path} is no voice's file, or was changed since it was written: enrol the voice anew")
    try:
        told = _VoiceFile.model_validate(content)
        coordinates = np.array(told.coordinates, np.float64)
    except ValueError:  # pydantic's is one, and rows of unlike lengths raise one
        raise BundleError(f"{path} is no voice's file") from None
    if told.format != FORMAT or coordinates.ndim != 2:
        raise BundleError(f"{path} is no voice's file of format {FORMAT}: enrol the voice anew")
    # Both are printed: a file of somebody else's must not steer a terminal.
    if not (_can_name(told.name) and told.model.isprintable()) or np.abs(coordinates).max(initial=0) > LARGEST:
        raise BundleError(f"{path} is no voice's file")
    return Voice(told.name, told.model, told.head, coordinates, told.speech_s)


def voices_folder() -> Path:
    """Return where voices are kept that no folder is named for."""
    return default_cache_dir() / "voices"


def voice_path(name: str, folder: Path | None = None) -> Path:
    """Return where the voice ``name`` lies in ``folder``.

    Raises:
        BundleError: it is no name that a file can have.
    """
    if not _can_name(name):
        raise BundleError(f"{name!r} cannot name a voice: letters, digits, spaces, - and _ can")
    return (folder or voices_folder()) / f"{name}.json"


def _can_name(name: str) -> bool:
    if not name.strip() or not name.isprintable() or name.startswith(".") or name.endswith(".json"):
        return False
    return not {*name} & {*'/\\:*?"<>|'}


def find_voice(name_or_path: str, folder: Path | None = None) -> Voice:
    """Return the voice of a file, or the one that is kept by that name.

    Raises:
        BundleError: there is none.
    """
    given = Path(name_or_path)
    if given.suffix == ".json":
        return read_voice(given)
    path = voice_path(name_or_path, folder)
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.json"))
        others = f"known are {', '.join(known)}" if known else "none is known yet"
        raise BundleError(f"no voice is called {name_or_path}; {others}: `thymos enrol NAME FILES…` makes one")
    return read_voice(path)
