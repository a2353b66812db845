"""Compile the pipelines: ``python -m pipelines.compile`` writes ``pipelines/compiled/``.

The compiled files are part of the repository, so that a change of the graph or of ``params.yaml`` shows as a
change of a file. Their first line says whether a cluster can run them: that takes images by digest, in a
registry that ``MOME_IMAGE_REGISTRY`` names.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.dsl.base_component import BaseComponent

from mome.cli import main
from mome.config import PARAMS_FILE, Params, load_params, profiles
from mome.errors import ConfigError
from mome.storage import write_text
from pipelines.cluster import VARIABLE, check_devices, steps
from pipelines.deadlines import end_after
from pipelines.graphs import graphs
from pipelines.monitoring import monitoring
from pipelines.training import training, training_sharded

__all__ = ["COMPILED", "PIPELINES", "PROFILE", "compile_pipeline"]

COMPILED = Path(__file__).parent / "compiled"
PIPELINES: dict[str, BaseComponent] = {
    "training": training,
    "training_sharded": training_sharded,
    "monitoring": monitoring,
}
NO_CHANGES: dict[str, Any] = {"changes": {}}  # a field that a person may leave as it is
PROFILE = "profile"  # the field that chooses one
VERDICT = re.compile(r"require(-\d+)?")  # as kfp calls the tasks of step `require`
PLACED = re.compile(r"[^/]*[.:][^/]*/.+@sha256:[0-9a-f]{64}")  # host/path@digest
FOR_NO_CLUSTER = (
    "# NOT FOR A CLUSTER: the images are named without a registry or without a digest (docs/operations.md,\n"
    "# step 1, has the commands that change both).\n"
)
FOR_A_CLUSTER = "# For a cluster: images by digest. Claims and secrets are those of manifests/.\n"
MADE = "# Made by `make compile` from the pipelines/*.py and params.yaml.\n"


def compile_pipeline(name: str, params: Params, profile: str = PARAMS_FILE) -> str:
    """Return the YAML of a pipeline; defaults are the sections of ``params.yaml`` and the cluster's places.

    Args:
        name: One of `PIPELINES`.
        params: Values of the experiment.
        profile: That a run has unless its form says another.

    Raises:
        ConfigError: If the steps do not fit into the time that a run is given.
    """
    pipeline = PIPELINES[name]
    inputs = pipeline.pipeline_spec.root.input_definitions.parameters
    known = params.sections() | NO_CHANGES | {PROFILE: profile} | dict(steps.cluster.parameters)
    defaults = {key: value for key, value in known.items() if key in inputs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path), pipeline_parameters=defaults)
        # Sorted, and without kfp's comment on top: that one lists a section's keys in an order that
        # differs from process to process.
        documents = list(yaml.safe_load_all(path.read_text()))
    _fill_in(documents[0], params)
    _name_verdicts(documents[0])
    end_after(getattr(steps.cluster.run_timeout_s, name), *documents)
    text: str = yaml.dump_all(documents, Dumper=_Readable, sort_keys=True, width=110)
    loose = _loose(documents[0])
    return (FOR_NO_CLUSTER if loose else FOR_A_CLUSTER) + MADE + text


def _loose(spec: dict[str, Any]) -> list[str]:
    """Return the images that no cluster finds, or not these very ones: without a registry, or by a tag."""
    images = {part["container"]["image"] for part in spec["deploymentSpec"]["executors"].values()}
    return sorted(image for image in images if not PLACED.fullmatch(image))


def _fill_in(spec: dict[str, Any], params: Params) -> None:
    """Make the profile a choice, and let the step `configure` know params.yaml."""
    if chosen := spec["root"]["inputDefinitions"]["parameters"].get(PROFILE):
        # kfp's own word for it, a Literal, comes with its next version; the server and its form know it.
        chosen["literals"] = [PARAMS_FILE, *profiles()]
    for tasks in graphs(spec):
        if task := tasks.get("configure"):
            task["inputs"]["parameters"]["defaults"]["runtimeValue"]["constant"] = params.sections()


def _name_verdicts(spec: dict[str, Any]) -> None:
    """Call each `require` by the step that it is about: kfp numbers them, in each group from the start.

    A run's steps are found by their names, in the server's list and in Argo's.
    """
    for tasks in graphs(spec):
        for name in [name for name in tasks if VERDICT.fullmatch(name)]:
            named = f"require-{tasks[name]['inputs']['parameters']['stage']['runtimeValue']['constant']}"
            tasks[named] = tasks.pop(name)
            for task in tasks.values():
                if name in (before := task.get("dependentTasks", [])):
                    before[before.index(name)] = named


class _Readable(yaml.SafeDumper):
    """Shows the source of a step line by line, so that a change of one line is a change of one line."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)


def _compile() -> None:
    parser = argparse.ArgumentParser(description="Compile the pipelines for a Kubeflow cluster.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--output", type=Path, default=COMPILED)
    parser.add_argument("--profile", help="of mome/profiles, which a run has unless its form says another")
    parser.add_argument(
        "--allow-tags", action="store_true", help="for a trial: images without a digest, on a cluster too"
    )
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    check_devices(steps.cluster, load_params(arguments.params, arguments.profile or None))
    texts = {name: compile_pipeline(name, params, arguments.profile or PARAMS_FILE) for name in PIPELINES}
    if not arguments.allow_tags:
        _require_digests(texts.values())
    for name, text in texts.items():
        path = arguments.output / f"{name}.yaml"
        write_text(path, text)
        print(path)


def _require_digests(texts: Iterable[str]) -> None:
    """Refuse tags where a variable says that a cluster reads the files; the repository's own are for none.

    Raises:
        ConfigError: If there is an image that a cluster does not find, or not this very one.
    """
    asking = [name for name in ("MOME_IMAGE_REGISTRY", VARIABLE) if os.environ.get(name)]
    loose = sorted({image for text in texts for image in _loose(next(yaml.safe_load_all(text)))})
    if asking and loose:
        raise ConfigError(
            f"{asking[0]} is set, so this is for a cluster, but {', '.join(loose)}: expected "
            "registry/path@sha256:...: push the images and lock their digests (docs/operations.md, step 1), "
            "name their registry in MOME_IMAGE_REGISTRY, or give --allow-tags for a trial"
        )


if __name__ == "__main__":
    raise SystemExit(main(_compile))
