"""The peak counts what the steps take, not only the job itself."""

import subprocess
import sys

from pipelines.memory import PeakMemory

MIB = 2**20


def test_memory_of_a_process_below_counts() -> None:
    with PeakMemory() as memory:
        alone = memory.bytes
        code = "import time; block = bytearray(b'x' * (200 << 20)); time.sleep(1.2)"
        subprocess.run([sys.executable, "-c", code], check=True)
    assert memory.bytes > max(alone, 200 * MIB)
