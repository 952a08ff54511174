import subprocess
import sys

MEASURE = """
import resource
from training.common.memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(32 * 2**20)  # cleared, so every page is touched
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults() and faults()
kept = keep_memory() and (faults(), faults())[1]
print(given_back, kept)
"""


def test_memory_that_is_kept_is_not_cleared_by_the_kernel_again() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert given_back > 10 * max(kept, 1)
