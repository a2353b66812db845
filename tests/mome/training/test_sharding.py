"""What each of two processes holds of an LLM whose layers are shared out."""

import json
import subprocess
import sys
from pathlib import Path

from mome.config import TrainParams
from mome.training.checkpoint import new_recogniser

_SCRIPT = """
import json, sys
from pathlib import Path

from mome.config import TrainParams
from mome.training.checkpoint import new_recogniser
from mome.training.processes import join_processes

foundation, params, out = sys.argv[1:]
with join_processes("cpu") as processes:
    params = TrainParams.model_validate_json(params)
    model = new_recogniser(Path(foundation), params, processes).model
    held = {
        name: parameter.to_local().numel() if hasattr(parameter, "to_local") else parameter.numel()
        for name, parameter in model.named_parameters()
    }
    (Path(out) / f"{processes.rank}.json").write_text(json.dumps(held))
"""


def test_each_process_holds_a_half_of_the_frozen_layers_and_all_that_trains(
    foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    params = train_params.model_copy(update={"sharding": "full", "threads": 1})
    script = tmp_path / "share.py"
    script.write_text(_SCRIPT)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        script, foundation, params.model_dump_json(), tmp_path,
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    whole = dict(new_recogniser(foundation, params).model.named_parameters())
    assert first.keys() == second.keys() == whole.keys()
    shared = 0
    for name, parameter in whole.items():
        if ".layers." in name and not parameter.requires_grad:
            assert first[name] + second[name] == parameter.numel(), name
            assert abs(first[name] - second[name]) <= parameter[0].numel(), name
            shared += 1
        else:
            assert first[name] == second[name] == parameter.numel(), name
    assert shared >= 9 * 2, "weights of several layers"
