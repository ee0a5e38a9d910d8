"""Put the static page together: python examples/web/build.py --out build/web (or make web).

Everything that the page loads then lies in that folder, to be published by any host of plain files:

- page/: the served page's own modules (src/thymos/serving/page), with `server.js` of this folder in place of its own,
  and beside it what hears; onnxruntime-web as npm installed it.
- model/: the model, in float32 where the shipped one rounds to 8 bits, so that every processor and browser answers
  alike; `thymos predict --model build/web/model` hears by the same files.
- vad/: the voice activity detection. licences/: of what is not ours.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import thymos
from thymos.encoder.export import export_in_float32
from thymos.errors import ThymosError
from thymos.runtime.bundle import find_bundle, read_about
from thymos.runtime.hearing import ENCODER_HEARD
from thymos.runtime.vad import RATE_HZ as VAD_RATE_HZ
from thymos.serving.model_list import ServedModel

HERE = Path(__file__).parent
PACKAGE = Path(thymos.__file__).parent
ORT_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")

SPACE = """---
title: Thymos
sdk: static
app_file: index.html
license: other
short_description: Hears how something is said, in the browser alone
---

Thymos in the browser: recordings and the microphone's sound never leave the device. The model is for research and
non-commercial use; licences/ has those of everything in here.
"""
"""Makes the folder a static Space of Hugging Face, too."""


def main() -> None:
    """Build where the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/web"))
    parser.add_argument("--model", default="thymos", help="a shipped model's name, or the folder of one")
    parser.add_argument("--modules", type=Path, help="where onnxruntime-web is installed (default: npm installs it)")
    given = parser.parse_args()
    build(given.out, given.model, given.modules or installed(given.out.parent / "web-modules"))
    size = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file())
    print(f"{given.out}: {size / 1e6:.1f} MB; try it: python -m http.server --directory {given.out} 8000")


def installed(folder: Path) -> Path:
    """Return the folder of modules that npm installs by `package-lock.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is missing: install Node.js")
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return folder / "node_modules"


def build(out: Path, model: str, modules: Path) -> None:
    """Write the page to ``out``, where an earlier one is replaced, once the new one is whole, and nothing else."""
    if out.exists() and any(out.iterdir()) and not (out / "models.json").is_file():
        raise SystemExit(f"{out} holds something else; choose another --out")
    try:
        source = find_bundle(model)
        check_can_be_heard(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
            write_page(Path(aside) / out.name, source, modules)
            shutil.rmtree(out, ignore_errors=True)
            (Path(aside) / out.name).rename(out)
    except ThymosError as error:
        raise SystemExit(str(error)) from None


def check_can_be_heard(source: Path) -> None:
    """Say which of the things that a model may ask for this page does not do, before anything is written."""
    about = read_about(source)
    cannot = {
        "hears every recording at several speeds": about.speeds != (1.0,),
        f"takes sound at {about.rate_hz} Hz": about.rate_hz != VAD_RATE_HZ,
        "tells arousal and the like": bool(about.dimensions),
        "knows nothing of what is unfamiliar": about.out_of_distribution is None,
    }
    for what, is_so in cannot.items():
        if is_so:
            raise SystemExit(f"this page cannot hear by {source}, which {what}")


def write_page(out: Path, source: Path, modules: Path) -> None:
    """Write all of the page, which hears by the model in ``source``, to the new folder ``out``."""
    page = out / "page"
    shutil.copytree(PACKAGE / "serving" / "page", page, ignore=shutil.ignore_patterns("index.html"))
    for path in HERE.glob("*.js"):
        shutil.copy(path, page)
    shutil.copy(PACKAGE / "serving" / "page" / "index.html", out)
    (page / "ort").mkdir()
    for name in ORT_FILES:
        shutil.copy(modules / "onnxruntime-web" / "dist" / name, page / "ort")
    export_in_float32(source, out / "model")
    (out / "model" / ENCODER_HEARD).unlink(missing_ok=True)  # who only hears does without
    about = read_about(out / "model")
    (out / "models.json").write_text(
        json.dumps({"models": [ServedModel(about.name, out / "model", about).to_dict()]}), "utf-8"
    )
    (out / "vad").mkdir()
    shutil.copy(PACKAGE / "weights" / "vad" / "vad.onnx", out / "vad")
    licences = out / "licences"
    licences.mkdir()
    shutil.copy(HERE.parents[1] / "LICENSE", licences / "thymos.txt")
    shutil.copy(PACKAGE / "weights" / "vad" / "LICENSE", licences / "silero-vad.txt")
    shutil.copy(PACKAGE / "weights" / "encoder" / "LICENSE", licences / "whisper.txt")
    library = importlib.util.find_spec("onnxruntime")
    assert library is not None and library.origin is not None
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        shutil.copy(Path(library.origin).parent / name, licences / f"onnxruntime-{Path(name).stem}.txt")
    (out / ".nojekyll").touch()  # pages of GitHub would leave files out
    (out / "README.md").write_text(SPACE, "utf-8")


if __name__ == "__main__":
    main()
