"""How long a stranger's way is, in a home of their own with only Python: python scripts/strangers_path.py.

Three ways, each timed from nothing: a clone to a heard clip, a wheel to a heard clip, and a clone to the tutorial's
figures. They are walked by the commands of README, in a folder and a HOME that are thrown away, with nothing of this
environment but where pip finds packages. `--results DIR` keeps strangers-path.json and .md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CLIP = "data/mini-aesdd/anger/a05 (2).opus"
KEPT = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "http", "NO_PROXY", "no_proxy")
"""Beginnings of the variables that say how packages are found."""


@dataclass(frozen=True)
class Step:
    """What a stranger typed, how long it took, and the last line that it said."""

    way: str
    command: str
    seconds: float
    said: str


class Stranger:
    """Somebody with an empty home, a Python, and a folder to work in."""

    def __init__(self, home: Path):
        """Take where they live."""
        self.home, self.steps = home, list[Step]()
        python = Path(sys.executable).resolve().parent
        self.environment = {key: value for key, value in os.environ.items() if key.startswith(KEPT)}
        self.environment |= {"HOME": str(home), "PATH": f"{python}:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def types(self, way: str, command: str, within: Path) -> Step:
        """Run a command line of theirs, and keep how long it took; one that fails ends it all."""
        began_s = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", command], cwd=within, env=self.environment, capture_output=True, text=True, check=False
        )
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if done.returncode:
            raise SystemExit(f"{command}\n{done.stdout}{done.stderr}exit code {done.returncode}")
        step = Step(way, command, round(time.monotonic() - began_s, 1), lines[-1] if lines else "")
        self.steps.append(step)
        print(f"{step.seconds:7.1f} s  {way}: {command}\n           {step.said}", flush=True)
        return step


def walk(stranger: Stranger) -> None:
    """Walk all three ways."""
    home = stranger.home
    clone, wheel, sound = home / "thymos", home / "wheel", home / "my clip.opus"
    shutil.copy(REPOSITORY / CLIP, sound)
    activate = "source .venv/bin/activate"

    way = "clone to a heard clip"
    stranger.types(way, f"git clone --quiet --depth 1 'file://{REPOSITORY}' thymos", home)
    stranger.types(way, f"python3 -m venv .venv && {activate} && pip install --quiet .", clone)
    stranger.types(way, f'{activate} && thymos predict "{CLIP}" --timeline', clone)

    way = "wheel to a heard clip"
    built = home / "dist"
    subprocess.run(  # by whoever publishes it
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", built, clone], check=True
    )
    wheel.mkdir()
    stranger.types(way, f"python3 -m venv .venv && {activate} && pip install --quiet ../dist/thymos-*.whl", wheel)
    stranger.types(way, f"{activate} && thymos predict '{sound}'", wheel)

    way = "clone to the tutorial's figures"
    wanted = "'.[train]' nbclient ipykernel"
    stranger.types(way, f"{activate} && pip install --quiet -c constraints.txt {wanted}", clone)
    stranger.types(
        way, f"{activate} && cd examples && jupyter execute --output=done tutorial.ipynb && ls -1 done.ipynb", clone
    )
    cells = json.loads((clone / "examples" / "done.ipynb").read_text("utf-8"))["cells"]
    figures = sum("image/png" in output.get("data", ()) for cell in cells for output in cell.get("outputs", ()))
    if not figures:
        raise SystemExit("the tutorial shows no figure")
    print(f"{figures} figures in the tutorial")


def as_table(steps: list[Step]) -> str:
    """Return the ways as Markdown, each with its sum."""
    lines = ["| way | step | seconds |", "|---|---|---|"]
    for way in dict.fromkeys(step.way for step in steps):
        own = [step for step in steps if step.way == way]
        lines += [f"| {way} | `{step.command}` | {step.seconds} |" for step in own]
        lines.append(f"| **{way}** | in all | **{sum(step.seconds for step in own):.0f}** |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Walk them, and keep how long they were where the command line says."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--results", type=Path)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stranger = Stranger(Path(folder))
        walk(stranger)
        steps = [
            Step(
                step.way,
                step.command.replace(folder, "~").replace(str(REPOSITORY), "REPOSITORY"),
                step.seconds,
                step.said,
            )
            for step in stranger.steps
        ]
    if given.results is not None:
        from thymos.machine import this_machine

        command = "python scripts/strangers_path.py --results docs/results"
        told = {"command": command, "machine": this_machine(["thymos"]), "steps": [asdict(step) for step in steps]}
        text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
        (given.results / "strangers-path.json").write_text(text, "utf-8")
        (given.results / "strangers-path.md").write_text(as_table(steps), "utf-8")


if __name__ == "__main__":
    main()
