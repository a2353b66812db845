"""Compile the pipelines for a cluster: ``python -m pipelines.compile`` writes ``pipelines/compiled/``.

The compiled files are part of the repository, so that a person can upload one without installing
anything, and a change of the graph or of ``params.yaml`` shows as a change of a file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from mome.cli import main
from mome.config import Params, load_params
from mome.storage import write_text
from pipelines.cluster import check_devices, steps
from pipelines.monitoring import monitoring
from pipelines.training import training, training_sharded

__all__ = ["COMPILED", "PIPELINES", "compile_pipeline"]

COMPILED = Path(__file__).parent / "compiled"
PIPELINES: dict[str, BaseComponent] = {
    "training": training,
    "training_sharded": training_sharded,
    "monitoring": monitoring,
}
NO_CHANGES: dict[str, Any] = {"changes": {}}  # what a person fills in first has an empty default


def compile_pipeline(name: str, params: Params) -> str:
    """Return the YAML of a pipeline; defaults are the sections of ``params.yaml`` and the cluster's places.

    Args:
        name: One of `PIPELINES`.
        params: Values of the experiment.
    """
    pipeline = PIPELINES[name]
    inputs = pipeline.pipeline_spec.root.input_definitions.parameters
    known = params.sections() | NO_CHANGES | dict(steps.cluster.parameters)
    defaults = {key: value for key, value in known.items() if key in inputs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path), pipeline_parameters=defaults)
        # Sorted, and without kfp's comment on top: that one lists a section's keys in an order that
        # differs from process to process.
        documents = list(yaml.safe_load_all(path.read_text()))
    _fill_in(documents[0], params)
    header = "# Made by `make compile` from the pipelines/*.py and params.yaml.\n"
    text: str = yaml.dump_all(documents, Dumper=_Readable, sort_keys=True, width=110)
    return header + text


def _fill_in(spec: dict[str, Any], params: Params) -> None:
    """Let the step `configure` know params.yaml: of a form it sees what is in it, not what was changed."""
    for graph in (spec["root"], *spec["components"].values()):
        if task := graph.get("dag", {}).get("tasks", {}).get("configure"):
            task["inputs"]["parameters"]["defaults"]["runtimeValue"]["constant"] = params.sections()


class _Readable(yaml.SafeDumper):
    """Shows the source of a step line by line, so that a change of one line is a change of one line."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)


def _compile() -> None:
    parser = argparse.ArgumentParser(description="Compile the pipelines for a Kubeflow cluster.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--output", type=Path, default=COMPILED)
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    arguments = parser.parse_args()
    params = load_params(arguments.params, arguments.profile or None)
    check_devices(steps.cluster, params)
    for name in PIPELINES:
        path = arguments.output / f"{name}.yaml"
        write_text(path, compile_pipeline(name, params))
        print(path)


if __name__ == "__main__":
    raise SystemExit(main(_compile))
