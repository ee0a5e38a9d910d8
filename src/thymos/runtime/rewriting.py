"""A bundle written anew: its description changed, or a room or line taken out of what it decides by."""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from thymos.errors import BundleError, RunError
from thymos.files import is_unfinished, whole_file, write_json
from thymos.runtime.adaptation import Voice
from thymos.runtime.bundle import ABOUT, DISTRIBUTION, WEIGHTS, Bundle, read_bundle, shipped_encoder
from thymos.runtime.hearing import ENCODER_ABOUT, ENCODER_GRAPH, ENCODER_HEARD, ENCODER_WEIGHTS, GRAPH, HEAD
from thymos.runtime.model_files import ModelFiles, read_json

ENCODER_FILES = {ENCODER_ABOUT, ENCODER_GRAPH, ENCODER_HEARD, ENCODER_WEIGHTS}
FILES = {ABOUT, GRAPH, WEIGHTS, DISTRIBUTION, HEAD, *ENCODER_FILES}
"""All that the folder of a model may hold."""


def check_folder(folder: Path) -> None:
    """Check that a bundle may be written to ``folder``: it is new, empty, or holds an earlier one and nothing else.

    Raises:
        RunError: it is no folder, or holds something else, such as a run of ``thymos evaluate``.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} exists and is no folder; choose another --out")
    if (folder / "run.json").exists():
        raise RunError(f"{folder} holds a run of `thymos evaluate` or `study`, not a model; choose another --out")
    others = sorted(path.name for path in folder.iterdir() if path.name not in FILES and not is_unfinished(path))
    if others:
        raise RunError(f"{folder} holds {others[0]}, which is no part of a model; choose another --out")


def rewrite_bundle(
    source: Path,
    folder: Path,
    changes: dict[str, Any],
    leave_out: Iterable[str],
    scores_for: Callable[[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    """Write the bundle in ``source`` to ``folder``, which may be the same, its description changed.

    Args:
        source: checked first.
        folder: new, empty, or an earlier bundle's.
        changes: of fields of ``model.json``.
        leave_out: files that the runtime does without.
        scores_for: given the description, returns the scores to tell instead of its own; none: its own stay.

    Raises:
        BundleError: ``source`` holds no bundle that can be used, or what was written cannot.
        RunError: ``folder`` holds something else.
    """
    read_bundle(source)
    check_folder(folder)
    left_out = {*leave_out}
    about: dict[str, Any] = read_json(source / ABOUT)
    about |= changes
    if scores := scores_for(about):
        about["scores"] = scores
    hears_by = (ENCODER_GRAPH, ENCODER_WEIGHTS)
    if left_out & ENCODER_FILES and any(about["sha256"].get(n) != digest(shipped_encoder() / n) for n in hears_by):
        raise BundleError(f"{source} does not hear by the encoder that comes with Thymos, so it needs its own")
    # The digests of an encoder that is left out stay: they say which one it is.
    digests = {name: value for name, value in about["sha256"].items() if name in ENCODER_FILES or name not in left_out}
    if folder.resolve() != source.resolve():
        copy_files(source, folder, {*digests} - left_out)
    write_json(folder / ABOUT, about | {"sha256": digests})
    read_bundle(folder)


def write_adapted(bundle: Bundle, folder: Path, known: Voice, name: str) -> None:
    """Write ``bundle`` to ``folder`` as it decides once a room or line is taken out, for everybody.

    Its head is then linear (``VoiceSpace.head``), its space of voices moved, and voices are enrolled with it anew.
    Temperature and prediction sets are those of known voices, where it has them; scores of the old decision are gone.

    Args:
        bundle: knows voices.
        folder: new, empty, or an earlier bundle's, but not its own.
        known: what was heard in the room, or on the line.
        name: of the model that is written.

    Raises:
        RunError: ``folder`` is the bundle's own, or holds something else.
        BundleError: the bundle knows no voices, or what was written cannot be used.
    """
    space = bundle.hearing.space
    if space is None:
        raise BundleError(f"{bundle.folder} does not tell voices from emotions, so it cannot be adapted to any")
    if folder.resolve() == bundle.folder.resolve():
        raise RunError(f"{folder} is the model that is adapted, which stays as it is; choose another --out")
    check_folder(folder)
    offset = known.offset(space)
    moved = space.moved(offset.values)
    weights, bias = moved.head()
    about: dict[str, Any] = read_json(bundle.folder / ABOUT)
    arrays: dict[str, Any] = {**ModelFiles(bundle.folder, about["sha256"], ABOUT).arrays(HEAD)}
    arrays |= {"weights": weights, "bias": bias, "origin": moved.origin.astype(np.float32)}
    head = io.BytesIO()
    np.savez(head, allow_pickle=False, **arrays)
    copy_files(bundle.folder, folder, {*about["sha256"]} - {HEAD, WEIGHTS})
    with whole_file(folder / HEAD) as temporary:
        temporary.write_bytes(head.getvalue())
    digests = {file: value for file, value in about["sha256"].items() if file != WEIGHTS}
    digests[HEAD] = digest(folder / HEAD)
    before = {"name": bundle.about.name, "version": bundle.about.version, "sha256": bundle.digest}
    heard = {"clips": offset.clips, "speech_s": round(known.speech_s, 3), "variety": round(offset.variety, 3)}
    about |= {"name": name, "adapted_to": heard | {"model": before}, "scores": [], "sha256": digests}
    if bundle.about.adaptation is not None:
        about |= bundle.about.adaptation.model_dump(mode="json")
    write_json(folder / ABOUT, about)
    read_bundle(folder)


def copy_files(source: Path, folder: Path, names: Iterable[str]) -> None:
    """Copy those files of the bundle in ``source`` that are there, and take away all others of an earlier one."""
    (folder / ABOUT).unlink(missing_ok=True)
    # A description may name any file, and no other is a part of a model.
    kept = {name for name in names if name in FILES and (source / name).exists()}
    for name in kept:
        with whole_file(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    for name in FILES - kept:
        (folder / name).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Return the SHA-256 of the file at ``path``, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
