"""The study stack's own virtual environment, so that its pins never meet Thymos's."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from processes import run_command

STUDY_DIR = Path(__file__).resolve().parent / "study_stack"
REQUIREMENTS = STUDY_DIR / "requirements.txt"
VENV = STUDY_DIR / ".venv"
STAMP = VENV / "requirements.sha256"


def study_python() -> Path:
    """The environment's interpreter; made now if it is missing, unfinished or of other pins."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    python = VENV / "bin" / "python"
    if not STAMP.is_file() or STAMP.read_text() != wanted or not python.exists():
        _build(python)
        STAMP.write_text(wanted)  # last, so that an interrupted build is never taken for a finished one
    return python


def _build(python: Path) -> None:
    print(f"Installing the study's stack into {VENV.name} beside {REQUIREMENTS.name} ...", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    try:
        run_command([sys.executable, "-m", "venv", str(VENV)], "Making the study's environment")
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        run_command(install, "Installing the study's stack")
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise
