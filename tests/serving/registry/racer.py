"""Register a bundle, wait for the start, promote it: python racer.py ADDRESS BUNDLE READY START"""

import sys
import time
from pathlib import Path

from mome.registry.history import Lineage
from serving.registry.address import open_registry

address, bundle, ready, start = sys.argv[1:]
registry = open_registry(address)
version = registry.register(Path(bundle), "digits", Lineage(run=bundle), by="racer")
Path(ready).touch()
while not Path(start).exists():
    time.sleep(0.001)
registry.promote("digits", version.version, by="racer")
