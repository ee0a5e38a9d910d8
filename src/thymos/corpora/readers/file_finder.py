"""Where the files lie that the cells of a table name, whatever system wrote it."""

import os
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from thymos.audio import AUDIO_SUFFIXES
from thymos.audio.search import is_sound_name
from thymos.escaping import from_csv_cell
from thymos.files import home_path


@dataclass
class FileFinder:
    """Where the files of a table lie.

    Attributes:
        base: what paths are relative to.
        named: whether the user named ``base``.
    """

    base: Path
    named: bool = False
    _names: dict[Path, dict[str, list[str]]] = field(default_factory=dict, repr=False)

    def find(self, text: str) -> Path | None:
        """Return the file that a cell names, or None where there is none.

        One whose name differs in case, or in how its accents are encoded, is meant if there is no other: tables and
        files come from systems that do not tell these apart.
        """
        plain = text.replace("\\", "/")
        address = unquote(plain.removeprefix("file://").removeprefix("localhost"))
        spellings = [spelled for spelled in dict.fromkeys((text, plain, from_csv_cell(text), address)) if spelled]
        places = [self.base / home_path(spelled) for spelled in spellings]
        if self.named:
            every = (PurePosixPath(spelled).parts for spelled in spellings)
            places += [self.base.joinpath(*parts[first:]) for parts in every for first in range(1, len(parts))]
        exactly = next((place for place in places if os.path.lexists(place)), None)
        if exactly is not None:
            return exactly
        if plain and not is_sound_name(plain):
            return self._with_suffix(plain)
        return next((found for place in places if (found := self._alike(place))), None)

    def with_stem_of(self, text: str) -> Path | None:
        """Return the one recording whose name is that of the file that a cell names, but for its ending."""
        plain = text.replace("\\", "/")
        return self._with_suffix(plain.removesuffix(PurePosixPath(plain).suffix))

    def _alike(self, place: Path) -> Path | None:
        found = Path(place.anchor or ".")
        for part in place.parts[bool(place.anchor) :]:
            if not os.path.lexists(found / part):
                alike = self._names_in(found).get(_file_key(part), [])
                if len(alike) != 1:
                    return None
                part = alike[0]
            found /= part
        return found

    def _names_in(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            with suppress(OSError, ValueError):
                for name in os.listdir(folder):  # noqa: PTH208 - of names alone
                    names.setdefault(_file_key(name), []).append(name)
            self._names[folder] = names
        return self._names[folder]

    def _with_suffix(self, plain: str) -> Path | None:
        """Return the one recording of that name, of which a table leaves the ending out."""
        if not plain or plain.endswith("/"):
            return None
        whole = self.base / home_path(plain)
        found = [path for suffix in AUDIO_SUFFIXES if os.path.lexists(path := whole.with_name(whole.name + suffix))]
        return found[0] if len(found) == 1 else None


def _file_key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
