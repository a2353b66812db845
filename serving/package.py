"""Package: bundle the model, and build a Bento that ``bentoml serve <folder>`` starts anywhere.

python -m serving.package FOUNDATION CHECKPOINT EVALUATION GATE OUTPUT [--params params.yaml]

OUTPUT/
├── bundle/     what monitoring and the service read
└── bento/      a Bento with the bundle inside; needs the same Python packages, no network
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mome.bundle import Bundle, read_bundle, write_bundle
from mome.cli import main
from mome.config import PackageParams, load_params
from mome.errors import ServiceError
from mome.machine.memory import memory_watched
from mome.machine.stopping import stoppable
from mome.records import Promise
from mome.scales import Scale
from mome.storage import new_folder
from serving.image import REQUIREMENTS
from serving.requirements import pinned_requirements

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("mome", "serving")  # code that goes into the Bento: the library and the service
_SERVICE = "serving.service:MomeService"
_BUILD_TIMEOUT_S = 1800  # the weights are copied, and there may be billions


@stoppable()
@memory_watched("package")
def run(
    params: PackageParams,
    foundation: Path,
    checkpoint: Path,
    evaluation: Path,
    gate: Path,
    output: Path,
    promise: Promise | None = None,
) -> Bundle:
    """Write ``output/bundle`` and ``output/bento``, both or neither.

    Args:
        params: Name and default scale.
        foundation: Folder of the frozen models.
        checkpoint: Folder of the trained weights.
        evaluation: Folder with ``evaluation.json`` and ``baseline.parquet``.
        gate: Folder with ``gate.json``.
        output: Replaced as a whole.
        promise: To callers.

    Raises:
        BundleError: If the gate rejected the model, or a part is missing or not safetensors.
        ConfigError: If the project's requirements are not where they belong.
        ServiceError: If BentoML could not build; the message ends with what it said.
        Stopped: If a signal asks to stop.
    """
    with new_folder(output) as folder:
        bundle = write_bundle(
            name=params.name,
            default_scale=Scale.parse(params.default_scale),
            foundation=foundation,
            checkpoint=checkpoint,
            evaluation=evaluation,
            gate=gate,
            output=folder / "bundle",
            promise=promise,
        )
        with tempfile.TemporaryDirectory(prefix="mome-bento-") as temporary:
            project = Path(temporary) / "project"
            _gather(bundle, project)
            built = _build(bundle, project, home=Path(temporary) / "home")
            shutil.copytree(built, folder / "bento")
        _compile(folder / "bento" / "src")
    return read_bundle(output / "bundle")


def _gather(bundle: Bundle, project: Path) -> None:
    """Lay out the Bento's project: BentoML takes everything it finds, so it finds nothing else."""
    for name in _SOURCES:
        shutil.copytree(_ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    requirements = pinned_requirements(_ROOT / "pyproject.toml", _ROOT / "constraints.txt")
    (project / REQUIREMENTS).write_text("\n".join(requirements) + "\n")
    shutil.copytree(bundle.path, project / "bundle")
    # Only names the service: the container is described beside it (serving/image.py).
    (project / "bentofile.yaml").write_text(f'service: "{_SERVICE}"\n')


def _build(bundle: Bundle, project: Path, home: Path) -> Path:
    """Build in a process and a BentoML home of its own, and return the Bento's folder.

    BentoML imports the service to describe it. In this process that would be the repository's copy,
    and the Bento would land in the store of whoever runs this.
    """
    environment = os.environ | {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "bentoml", "build", ".", "--name", bundle.name]
    command += ["--version", bundle.version, "--output", "tag"]
    try:
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(f"bentoml build did not end within {_BUILD_TIMEOUT_S} s") from None
    built = home / "bentos" / bundle.name / bundle.version
    if done.returncode != 0 or not built.is_dir():
        raise ServiceError(
            f"bentoml build failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}"
        )
    return built


def _compile(source: Path) -> None:
    """Compile now what Python would otherwise compile into the Bento when it is first served.

    Serving must not change it: DVC takes a folder with new files for another output, and in a
    container the folder may be read-only.
    """
    mode = py_compile.PycInvalidationMode.CHECKED_HASH  # by content: copying a Bento changes times
    compileall.compile_dir(source, quiet=2, stripdir=source, invalidation_mode=mode)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.package", description="Bundle and Bento.")
    for name in ("foundation", "checkpoint", "evaluation", "gate", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    given = parser.parse_args()
    params = load_params(given.params)
    bundle = run(
        params.package,
        given.foundation,
        given.checkpoint,
        given.evaluation,
        given.gate,
        given.output,
        params.monitor.promise,
    )
    print(f"packaged {bundle.name} {bundle.version} (default scale {bundle.default_scale}): {given.output}")


if __name__ == "__main__":
    raise SystemExit(main(_command))
