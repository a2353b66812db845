"""Validation: the same figures however many processes share its clips."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mome.config import TrainParams
from mome.speech.shards import SplitReader
from mome.training.checkpoint import new_recogniser
from mome.training.clips import read_clips
from mome.training.validation import validate

_SCRIPT = """
import json, sys
from contextlib import closing
from pathlib import Path

from mome.config import TrainParams
from mome.speech.shards import SplitReader
from mome.training import validation
from mome.training.checkpoint import new_recogniser
from mome.training.clips import read_clips
from mome.training.processes import join_processes

dataset, foundation, params, batch_size, out = sys.argv[1:]
read, plain = [], validation.encode_plain
validation.encode_plain = lambda *args: read.append(list(args[2])) or plain(*args)
with join_processes("cpu") as processes, closing(SplitReader(Path(dataset), "validation")) as reader:
    params = TrainParams.model_validate_json(params)
    recogniser = new_recogniser(Path(foundation), params, processes)
    clips = read_clips(reader, recogniser.encoders, None, "read")
    found = validation.validate(recogniser, clips, params, int(batch_size), processes)
    (Path(out) / f"{processes.rank}.json").write_text(json.dumps([found, read]))
"""


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_find_what_one_finds_and_each_reads_a_part(
    sharding: str, dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    params = train_params.model_copy(
        update={"threads": 1, "sharding": sharding, "noise_snrs_db": [None, 5.0]}
    )
    script = tmp_path / "validate.py"
    script.write_text(_SCRIPT)
    # Three clips, one at a time: one process has a batch fewer than the other.
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        script, dataset, foundation, params.model_dump_json(), "1", tmp_path,
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    recogniser = new_recogniser(foundation, params)
    with closing(SplitReader(dataset, "validation")) as reader:
        clips = read_clips(reader, recogniser.encoders, None, "read")
        expected = validate(recogniser, clips, params, 2)
    parts = []
    for rank in range(2):
        found, read = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == pytest.approx(list(expected), rel=1e-5)
        parts.append({index for batch in read for index in batch})
    assert parts[0] | parts[1] == {0, 1, 2}
    assert not parts[0] & parts[1]
