"""How fast openSMILE makes functionals of files. Run by its path, by a Python that need not have Thymos.

    python opensmile_peer.py '{"feature_set": "eGeMAPSv02", "files": […], "budget_s": 10, "least": 3, "threads": 1}'

Files are resampled to 16 kHz, which is what its feature sets are used at and halves the work at 44.1 kHz.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

_RATE_HZ = 16_000


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds that each file took, by the clock and of the processor, and the length of each."""
    import opensmile
    import soundfile

    features = opensmile.Smile(
        getattr(opensmile.FeatureSet, job["feature_set"]),
        opensmile.FeatureLevel.Functionals,
        sampling_rate=_RATE_HZ,
        resample=True,
        num_workers=job["threads"],
    )
    files = job["files"]
    features.process_file(files[0])
    wall: list[float] = []
    cpu: list[float] = []
    sound: list[float] = []
    began = time.perf_counter()
    while len(wall) < job["least"] or time.perf_counter() - began < job["budget_s"]:
        file = files[len(wall) % len(files)]
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        features.process_file(file)
        wall.append(time.perf_counter() - wall_before)
        cpu.append(time.process_time() - cpu_before)
        sound.append(soundfile.info(file).duration)
    status = Path("/proc/self/status")
    peak_mb = None
    if status.exists():
        peak_mb = next(int(s.split()[1]) * 1024e-6 for s in status.read_text().splitlines() if s.startswith("VmHWM"))
    note = f"opensmile {opensmile.__version__}"
    return {"wall_s": wall, "cpu_s": cpu, "sound_s": sound, "peak_mb": peak_mb, "note": note}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
