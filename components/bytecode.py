"""Bytecode of what steps import, and of nothing else.

Of every module it is a sixth of an image, and most modules no step ever asks for; one that does is compiled
when it is imported, as always. The list is one of modules that import the others. Needs nothing but Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

__all__ = ["IMPORTED", "compile_imports"]

_DATABASE = "psycopg sqlalchemy sqlalchemy.dialects.postgresql.psycopg sqlalchemy.dialects.sqlite"
_DRIFT = "evidently evidently.metrics kubernetes.client kubernetes.config"

# By layer. A package that loads its parts when they are asked for is named with them: bentoml, pydantic.
IMPORTED = {
    "steps": """
        jinja2 kfp.dsl.executor_main pandas psutil pyarrow.dataset pyarrow.parquet pydantic.main
        pydantic.functional_serializers pydantic.networks pydantic.type_adapter scipy.ndimage scipy.signal
        scipy.stats tqdm urllib3 yaml
    """,
    "media": "av cv2 espeakng_loader soundfile",
    "model": """
        peft safetensors.torch torch.distributed.run transformers.generation.streamers
        transformers.models.llama.modeling_llama transformers.models.qwen2.modeling_qwen2
        transformers.models.whisper.feature_extraction_whisper transformers.models.whisper.modeling_whisper
    """,
    "data": "dvc.cli dvc.repo great_expectations",
    "train": "kubeflow.trainer kubeflow.trainer.options kubernetes.client kubernetes.watch",
    "serve": f"""
        _bentoml_sdk bentoml bentoml._internal.service.loader bentoml_cli.cli model_registry prometheus_client
        packaging.requirements pynvml s3fs uvloop {_DATABASE} {_DRIFT}
    """,
    "monitor": f"prometheus_client {_DATABASE} {_DRIFT}",
}


def compile_imports(layer: str) -> None:
    """Import the modules of a layer, which writes their bytecode.

    Args:
        layer: Of `components.layers.LAYERS`.

    Raises:
        subprocess.CalledProcessError: If one cannot be imported: more was deleted than steps can do without.
    """
    script = "".join(f"import {module}\n" for module in IMPORTED[layer].split())
    with tempfile.TemporaryDirectory() as home:  # what an import leaves there is not for the image
        environment = os.environ | {"HOME": home, "TMPDIR": home}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run([sys.executable, "-c", script], cwd=home, env=environment, check=True)
