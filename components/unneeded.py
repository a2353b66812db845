"""What packages bring that no step reads; deleted in the layer that installs it.

Licences of what stays are never among it. A pattern that matches nothing ends the build: the package has
changed, and the line is wrong or has become needless. Needs nothing but Python.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from mome.errors import ConfigError

__all__ = ["UNNEEDED", "Unneeded", "prune"]


class Unneeded(NamedTuple):
    """Files that go, why, and what stays although a pattern matches it.

    Args:
        layer: Of `components.layers.LAYERS`.
        reason: Why no step reads them.
        patterns: Globs of files and folders, from ``site-packages``.
        but: Names of files and folders that stay.
        always: Whether every build of the package has them; torch's differ.
    """

    layer: str
    reason: str
    patterns: tuple[str, ...]
    but: tuple[str, ...] = ()
    always: bool = True


# By name: others call a module that they need `tests` (evidently).
_TESTED = {
    "steps": ("numpy", "pandas", "pyarrow", "scipy"),
    "model": ("networkx", "sympy"),
    "data": ("networkx",),
    "serve": ("sklearn", "statsmodels"),
    "monitor": ("sklearn", "statsmodels"),
}
_SOURCES = "for people who write code, and for compilers"
_NOTEBOOK = "for notebooks; pages that a step writes take evidently/nbextension and plotly/package_data"

UNNEEDED = (
    *(
        Unneeded(layer, "tests of the package itself", tuple(f"{name}/**/tests" for name in names))
        for layer, names in _TESTED.items()
    ),
    Unneeded("steps", _SOURCES, ("pyarrow/include", "**/*.pxd", "**/*.pyi", "**/*.pyx")),
    Unneeded("media", _SOURCES, ("**/*.pxd", "**/*.pyi")),
    Unneeded(
        "model",
        "the same network for other programs; mome.speech.activity reads one file",
        ("silero_vad/data/*.jit", "silero_vad/data/*.onnx"),
    ),
    Unneeded(
        "data", "pictures of a site of reports; ours are pages of one file", ("great_expectations/**/*.gif",)
    ),
    Unneeded(
        "steps",
        "Arrow's calls from machine to machine; a step reads files",
        ("pyarrow/libarrow_flight.so.*", "pyarrow/libarrow_python_flight.so.*", "pyarrow/_flight.*"),
    ),
    Unneeded(
        "steps",
        "Arrow's own way to S3; DVC and the registry have s3fs, and pyarrow.fs does without",
        ("pyarrow/libarrow_s3.so.*", "pyarrow/_s3fs.*"),
    ),
    Unneeded(
        "steps",
        "copies, for linkers, of the library that the loader asks for: libarrow_python.so.<version>",
        ("pyarrow/libarrow_python*.so", "pyarrow/libarrow_python*.so.*.*"),
    ),
    Unneeded(
        "media",
        "cascades for other things than a face seen from the front",
        ("cv2/data/*.xml",),
        but=("haarcascade_frontalface_default.xml",),
    ),
    Unneeded(
        "media",
        "words of other languages than the synthetic speakers' English",
        ("espeakng_loader/espeak-ng-data/*_dict",),
        but=("en_dict",),
    ),
    Unneeded("model", "programs that build and test torch", ("torch/bin/protoc*",)),
    Unneeded(
        "model",
        "the same; only builds that are made for testing have them",
        ("torch/bin/test_*", "torch/bin/*Test", "torch/test", "torch/lib/lib*test.so"),
        always=False,
    ),
    *(
        Unneeded(
            layer,
            _NOTEBOOK,
            (
                "jupyterlab_plotly",
                "evidently/**/*.ipynb",
                "../../../share/jupyter",
                "../../../etc/jupyter",
                "../../../evidently",  # the package has them, too
            ),
        )
        for layer in ("serve", "monitor")
    ),
    *(
        Unneeded(
            layer,
            "data to try the package on",
            ("statsmodels/datasets/**/*.csv", "sklearn/datasets/data/*.csv"),
        )
        for layer in ("serve", "monitor")
    ),
    Unneeded(
        "serve",
        "descriptions of 400 services of AWS; a registry is in S3, the others are asked for credentials",
        ("botocore/data/*",),
        but=(
            "endpoints.json",
            "partitions.json",
            "sdk-default-configuration.json",
            "_retry.json",
            "s3",
            "signin",
            "sso",
            "sso-oidc",
            "sts",
        ),
    ),
)


def prune(packages: Path, layer: str) -> int:
    """Delete what a layer brings that no step reads, and return the bytes that this saves.

    Args:
        packages: The ``site-packages`` that the layer was just installed into.
        layer: Of `components.layers.LAYERS`.

    Raises:
        ConfigError: If a pattern matches nothing.
    """
    saved = 0
    for unneeded in UNNEEDED:
        if unneeded.layer != layer:
            continue
        for pattern in unneeded.patterns:
            found = [path for path in packages.glob(pattern) if path.name not in unneeded.but]
            if not found and unneeded.always:
                raise ConfigError(f"{packages}: nothing matches {pattern!r} ({layer}: {unneeded.reason})")
            saved += sum(_delete(path) for path in found)
    return saved


def _delete(path: Path) -> int:
    """Delete a file or folder that may be gone with another one already; return its bytes."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        shutil.rmtree(path)
        return size
    size = path.stat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return size
