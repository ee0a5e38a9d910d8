"""How many small changes of scores, timelines and writers the tests find: python scripts/mutants.py --sample 160.

Cosmic Ray (`pip install cosmic-ray`, wanted for nothing else) makes the changes, in a clone that is thrown away: a sum
for a difference, another number, a comparison turned. Some thousands are possible; a sample of them is drawn, and each
is tried on the tests of its module, then on those of its neighbours. What no test finds is listed, to be judged: many
are no change at all, such as `>` for `!=` where nothing can be less. `--results DIR` keeps mutants.json.
"""

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SCORES = "agreement breakdown calibration comparison metrics paired results significance summary"
MODULES = [
    *(f"src/thymos/scoring/{name}.py" for name in SCORES.split()),
    "src/thymos/runtime/timeline.py",
    "src/thymos/runtime/formats.py",
]
OWN_TESTS = {
    "calibration": ["scoring/test_calibration_summary.py", "scoring/test_conformal.py", "scoring/test_calibration.py"],
    "comparison": ["scoring/test_comparison.py", "scoring/test_paired.py"],
    "significance": ["scoring/test_comparison.py", "scoring/test_paired.py"],
    "results": ["scoring/test_results.py", "scoring/test_breakdown.py"],
    "summary": ["scoring/test_results.py", "scoring/test_breakdown.py"],
    "timeline": ["runtime/test_timeline.py"],
    "formats": ["runtime/test_result_formats.py"],
}
NEIGHBOURS = [
    "scoring", "runtime/test_timeline.py", "runtime/test_result_formats.py", "runtime/test_notebook.py",
    "runtime/test_recognizer.py", "reports/test_tables.py",
]  # fmt: skip
TIMEOUT_S = 300.0


def run_tests() -> int:
    """Run the tests of the module that was changed, then those of its neighbours; return the first exit code but 0."""
    changed = subprocess.run(
        ["git", "diff", "--name-only", "--", "src"], capture_output=True, text=True, check=True
    ).stdout.split()
    stem = Path(changed[0]).stem if changed else ""
    own = OWN_TESTS.get(stem, [f"scoring/test_{stem}.py"])
    for some in (own, NEIGHBOURS):
        tests = [f"tests/{name}" for name in some]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests], check=False
        )
        if done.returncode:
            return done.returncode
    return 0


def tried(clone: Path, sample: int, seed: int) -> list[dict[str, Any]]:
    """Try a sample of changes in ``clone``, and return what became of each."""
    settings, session = clone.with_suffix(".toml"), clone.with_suffix(".sqlite")
    command = f"{sys.executable} {Path(__file__).resolve()} --tests"
    settings.write_text(
        f'[cosmic-ray]\nmodule-path = {json.dumps(MODULES)}\ntimeout = {TIMEOUT_S}\nexcluded-modules = []\n'
        f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(clone / "src"), "OMP_NUM_THREADS": "1"}
    cosmic_ray = [sys.executable, "-m", "cosmic_ray.cli"]
    subprocess.run([*cosmic_ray, "init", settings, session], cwd=clone, env=environment, check=True)
    with sqlite3.connect(session) as kept:
        columns = "module_path, operator_name, occurrence, job_id"
        possible = kept.execute(f"select {columns} from mutation_specs order by 1, 2, 3").fetchall()
        drawn = {row[-1] for row in random.Random(seed).sample(possible, min(sample, len(possible)))}
        others = [(row[-1],) for row in possible if row[-1] not in drawn]
        for table in ("mutation_specs", "work_items"):
            kept.executemany(f"delete from {table} where job_id = ?", others)
    subprocess.run([*cosmic_ray, "exec", settings, session], cwd=clone, env=environment, check=True)
    with sqlite3.connect(session) as kept:
        columns = "module_path, operator_name, start_pos_row, test_outcome"
        found = kept.execute(f"select {columns} from mutation_specs join work_results using (job_id)").fetchall()
    print(f"{len(found)} of {len(possible)} changes were tried")
    return [dict(zip(("module", "change", "line", "outcome"), row, strict=True)) for row in found]


def main() -> None:
    """Try them, tell what was found, and keep it where the command line says."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--sample", type=int, default=160)
    words.add_argument("--seed", type=int, default=16)
    words.add_argument("--results", type=Path)
    words.add_argument("--tests", action="store_true", help="run the tests of what is changed here, and nothing else")
    given = words.parse_args()
    if given.tests:
        raise SystemExit(run_tests())
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", f"file://{REPOSITORY}", clone], check=True)
        rows = tried(clone, given.sample, given.seed)
    outcomes = Counter(row["outcome"] for row in rows)
    survivors = [row for row in rows if row["outcome"] != "KILLED"]
    for row in survivors:
        print(f"{row['module']}:{row['line']}  {row['change']}")
    print(f"{outcomes['KILLED']} of {len(rows)} found by tests")
    if given.results is not None:
        told = {"command": f"python scripts/mutants.py --sample {given.sample} --seed {given.seed}", "tried": len(rows),
                "found": outcomes["KILLED"], "survivors": survivors}  # fmt: skip
        (given.results / "mutants.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
