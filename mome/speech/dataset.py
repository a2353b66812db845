"""From an address to a dataset that is read as a folder is.

var/dataset             a folder that data.prepare wrote
s3://bucket/prefix      such a folder in a bucket
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from mome.errors import CorpusError
from mome.registry.s3 import S3Reader
from mome.speech.manifest_table import read_table
from mome.storage import write_bytes, write_text

__all__ = ["open_dataset"]

_FILES = ("corpus.json", "manifest.parquet")
_MODELS = "face_models"


def open_dataset(address: str) -> Path:
    """Return a folder that is read as the dataset is; of its shards nothing is copied.

    It is the folder itself where one is given. Of a bucket, manifest, description and models of faces come
    into a folder for as long as this process lives, and the shards are read where they lie. Credentials are
    those of AWS, or of the registry's bucket.

    Raises:
        ConfigError: If there is no such bucket, no complete credentials, or s3fs is missing.
        CorpusError: If the address is none, or no dataset is there, or its manifest cannot be read.
        ServiceError: If the bucket does not answer, or refuses.
    """
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise CorpusError(f"dataset {address!r}: expected a folder or s3://bucket/prefix")
    reader = S3Reader(parts.netloc, parts.path)
    found = reader.names("")
    if missing := [name for name in (*_FILES, "shards") if name not in found]:
        raise CorpusError(f"{address}: no {missing[0]} there; expected a dataset that data.prepare wrote")
    folder = Path(tempfile.mkdtemp(prefix="mome-dataset-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in zip(_FILES, reader.read(list(_FILES)), strict=True):
        write_bytes(folder / name, content)
    try:
        read_table(folder)
    except CorpusError as error:  # of a copy that nobody knows
        raise CorpusError(str(error).replace(str(folder), address.rstrip("/"))) from error
    if _MODELS in found:
        (folder / _MODELS).mkdir()
        reader.download(_MODELS, folder / _MODELS)
    write_text(folder / "shards", f"{reader.uri('shards')}\n")
    return folder
