import platform
import resource
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from thymos.engine.process import set_up_process
if sys.argv[1] == "set":
    assert set_up_process()
import torch
torch.set_num_threads(1)
for _ in range(3):
    torch.zeros(8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(word: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is set")
def test_freed_memory_is_kept_only_when_asked_for():
    # Twenty times 32 MiB: without the setting every page comes from the kernel anew each time.
    pages = 20 * (32 << 20) // resource.getpagesize()
    assert page_faults("leave") > 0.9 * pages
    assert page_faults("set") < pages / 2


@pytest.mark.slow
def test_importing_the_training_packages_leaves_the_process_as_it_is():
    """But that nothing phones home, and that Matplotlib keeps its files in our cache."""
    code = (
        "import os; before = dict(os.environ)\n"
        "import thymos.evaluation.evaluate, thymos.reports.run_report\n"
        "private = {'ORT_DISABLE_TELEMETRY', 'MPLCONFIGDIR'}\n"
        "assert {name for name, value in os.environ.items() if before.get(name) != value} <= private\n"
        "assert not before.keys() - os.environ.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
