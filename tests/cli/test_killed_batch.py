"""A batch that is killed at random moments ends with the same bytes, and tells each file once, whatever the format."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_batch_survives_kills(bundle, mini, tmp_path, format):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number, path in enumerate(sorted(mini.glob("*/*"))[::20]):
        (sounds / f"{number}{path.suffix}").symlink_to(path.absolute())
    words = ["--files", "300", "--bad", "30", "--kills", "5", "--format", format, "--model", str(bundle)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "killed_batch.py"), str(sounds), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "300 files, 30 of them bad, killed 5 times: the same" in done.stdout
    assert "known from an earlier run" in done.stdout
