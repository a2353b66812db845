"""Processes beside a worker: what they are started with."""

import socket
import sys

import pytest

from serving.child_process import start_child

# How many pages the second of two equal arrays of 1 MB costs, as the kernel counts them.
COUNT = """
import resource, socket, sys
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**17)
before = faults()
np.ones(2**17)
socket.socket(fileno=int(sys.argv[1])).sendall(str(faults() - before).encode())
"""


def pages_of_a_second_array() -> int:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = start_child([sys.executable, "-c", COUNT], theirs.fileno())
        theirs.close()
        said = ours.recv(100)
        assert child.wait() == 0
    return int(said)


def test_memory_that_one_recording_took_is_at_hand_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pages_of_a_second_array() < 100
    # Whoever sets the allocator himself has the last word.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "100000")
    assert pages_of_a_second_array() > 200
