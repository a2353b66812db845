"""The peak counts what the steps take, not only the job itself."""

import subprocess
import sys
from pathlib import Path

MIB = 2**20
# A process of its own: the kernel remembers the largest child, and pytest has had others.
JOB = """
import subprocess, sys
from pipelines.memory import PeakMemory
with PeakMemory() as memory:
    print(memory.bytes)
    code = "import time; block = bytearray(b'x' * (200 << 20)); time.sleep(1.2)"
    subprocess.run([sys.executable, "-c", code], check=True)
print(memory.bytes)
"""


def test_memory_of_a_process_below_counts() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", JOB], cwd=root, capture_output=True, text=True, check=True)
    alone, highest = map(int, done.stdout.split())
    assert highest > max(alone, 200 * MIB)
    assert highest < 600 * MIB
