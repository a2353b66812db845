"""What the environment says to a running service, read once and in one place.

MOME_BUNDLE            bundle folder to serve; default: the one in the Bento
MOME_SCALE_FILE        scale.json of monitoring; default: none, the bundle's scale is served
MOME_DEFAULT_SCALE     for callers who name no scale: published, that of MOME_SCALE_FILE or the bundle, or
                       auto, by the noise of each request; default published
MOME_REQUEST_LOG       folder for the request log, or a database: postgresql+psycopg://USER:PASSWORD@HOST/DATABASE,
                       sqlite:///FILE; default: none, nothing is logged
MOME_API_KEY           bearer token that /v1 asks for; several with commas between; default: none, it is open
MOME_API_KEY_FILE      file with such keys, one a line, beside those, each with its limits (serving/keys.py);
                       read when the service starts
MOME_MODEL_ALIASES     further names of the model, with commas between, such as whisper-1; default: none
MOME_LANGUAGE          language of the model, said in replies; default english
MOME_CORS_ORIGINS      origins whose pages may call, with commas between, or *; default: none
MOME_MAX_UPLOAD_MB     largest request body, in 10^6 bytes; default 200
MOME_MAX_DURATION_S    longest recording, in seconds; default 14400, four hours
MOME_MAX_LONG          recordings of more than two minutes that are read at a time, jobs aside; default 2
MOME_JOBS              folder for jobs, shared by all workers; default: none, there are no jobs
MOME_MAX_JOBS          most jobs that wait or are read; default 100
MOME_MAX_JOBS_MB       most that was sent for them, in 10^6 bytes; default 10000
MOME_JOBS_KEPT_H       hours for which a result is kept; default 24
MOME_DECODE_TIMEOUT_S  longest decoding of one recording, or two minutes of it, in seconds; default 20
MOME_DECODE_MEMORY_MB  memory that decoding one recording may take, in 10^6 bytes; default 2000
MOME_DECODERS          recordings decoded at a time, each in a process; default: one for each core
MOME_MAX_BATCH         most requests that the model reads together; default 16
MOME_MAX_BATCH_S       most seconds of recordings that it reads together; default 60
MOME_MAX_WAITING_S     most seconds of recordings that wait for it; default 300
MOME_MAX_SESSIONS      most live sessions at a time, of each worker; default 16
MOME_SESSION_IDLE_S    a live session that sends nothing for so many seconds is closed; default 60
MOME_DRAIN_S           after SIGTERM, what was let in has so many seconds to be answered; default 45
MOME_THREADS           threads of the model; default: one for each core, or one for a small model
MOME_DEVICE            where the model runs, as torch names it: cpu, cuda, cuda:1; default cpu
MOME_NUM_BEAMS         hypotheses kept in parallel, 1 is greedy; default: as the bundle was judged
MOME_COMPILE_DECODING  true: fuse the kernels of a decoding step, on a GPU; default false
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mome.config import Threads
from mome.errors import ConfigError
from mome.records import Decoding
from mome.request_log.opening import is_database
from serving.keys import Key, named, parse_key

__all__ = ["Settings"]

_BUNDLE_IN_BENTO = Path(__file__).resolve().parents[1] / "bundle"


@dataclass(frozen=True)
class Settings:
    """The service's addresses, limits and secret."""

    bundle: Path = _BUNDLE_IN_BENTO
    scale_file: Path | None = None
    default_scale: Literal["published", "auto"] = "published"
    request_log: Path | str | None = field(default=None, repr=False)  # a URL may have a password in it
    api_keys: tuple[Key, ...] = ()
    model_aliases: tuple[str, ...] = ()
    language: str = "english"
    cors_origins: tuple[str, ...] = ()
    max_upload_bytes: int = 200_000_000
    max_duration_s: float = 14_400.0
    max_long: int = 2
    jobs: Path | None = None
    max_jobs: int = 100
    max_jobs_bytes: int = 10_000_000_000
    jobs_kept_h: float = 24.0
    decode_timeout_s: float = 20.0
    decode_memory_bytes: int = 2_000_000_000
    decoders: int | None = None  # one for each core
    max_batch: int = 16
    max_batch_s: float = 60.0
    max_waiting_s: float = 300.0
    max_sessions: int = 16
    session_idle_s: float = 60.0
    drain_s: float = 45.0
    threads: Threads = "auto"
    device: str = "cpu"
    num_beams: int | None = None  # as judged
    compile_decoding: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the variables above, without white space around a value; an empty one counts as absent.

        Raises:
            ConfigError: If a number is not one, or is not above zero, a switch is neither true nor false or
                does not fit the device, the default scale is neither published nor auto, a file holds no
                keys, or the request log's URL is that of something else; the message names the variable.
        """
        given = os.environ if environment is None else environment
        # A key out of a file may end with that file's newline, which no client can send.
        values = {name: value.strip() for name, value in given.items() if value.strip()}
        threads = _count(values, "MOME_THREADS")
        device = values.get("MOME_DEVICE", cls.device)
        compile_decoding = _switch(values, "MOME_COMPILE_DECODING")
        if compile_decoding and device == "cpu":
            raise ConfigError("MOME_COMPILE_DECODING: is for GPUs, but MOME_DEVICE is cpu")
        return cls(
            bundle=Path(values.get("MOME_BUNDLE", _BUNDLE_IN_BENTO)),
            scale_file=_path(values, "MOME_SCALE_FILE"),
            default_scale=_default_scale(values, "MOME_DEFAULT_SCALE"),
            request_log=_request_log(values, "MOME_REQUEST_LOG"),
            api_keys=named([*map(Key, _several(values, "MOME_API_KEY")), *_keys_of_file(values)]),
            model_aliases=_several(values, "MOME_MODEL_ALIASES"),
            language=values.get("MOME_LANGUAGE", cls.language),
            cors_origins=_several(values, "MOME_CORS_ORIGINS"),
            max_upload_bytes=int(1e6 * _required(values, "MOME_MAX_UPLOAD_MB", cls.max_upload_bytes / 1e6)),
            max_duration_s=_required(values, "MOME_MAX_DURATION_S", cls.max_duration_s),
            max_long=_count(values, "MOME_MAX_LONG") or cls.max_long,
            jobs=_path(values, "MOME_JOBS"),
            max_jobs=_count(values, "MOME_MAX_JOBS") or cls.max_jobs,
            max_jobs_bytes=int(1e6 * _required(values, "MOME_MAX_JOBS_MB", cls.max_jobs_bytes / 1e6)),
            jobs_kept_h=_required(values, "MOME_JOBS_KEPT_H", cls.jobs_kept_h),
            decode_timeout_s=_required(values, "MOME_DECODE_TIMEOUT_S", cls.decode_timeout_s),
            decode_memory_bytes=int(
                1e6 * _required(values, "MOME_DECODE_MEMORY_MB", cls.decode_memory_bytes / 1e6)
            ),
            decoders=_count(values, "MOME_DECODERS"),
            max_batch=_count(values, "MOME_MAX_BATCH") or cls.max_batch,
            max_batch_s=_required(values, "MOME_MAX_BATCH_S", cls.max_batch_s),
            max_waiting_s=_required(values, "MOME_MAX_WAITING_S", cls.max_waiting_s),
            max_sessions=_count(values, "MOME_MAX_SESSIONS") or cls.max_sessions,
            session_idle_s=_required(values, "MOME_SESSION_IDLE_S", cls.session_idle_s),
            drain_s=_required(values, "MOME_DRAIN_S", cls.drain_s),
            threads="auto" if threads is None else threads,
            device=device,
            num_beams=_count(values, "MOME_NUM_BEAMS"),
            compile_decoding=compile_decoding,
        )

    def decoding(self, judged: Decoding) -> Decoding:
        """Return how texts are written: as the bundle was judged, unless the settings say otherwise.

        Raises:
            ConfigError: If compiled steps are asked for, which decode greedily, beside beams.
        """
        beams = self.num_beams or judged.num_beams
        if self.compile_decoding and beams > 1:
            raise ConfigError(
                f"MOME_COMPILE_DECODING: decodes greedily, but there are {beams} beams; set MOME_NUM_BEAMS=1 "
                "to serve otherwise than judged"
            )
        return judged.model_copy(update={"num_beams": beams})


def _path(values: Mapping[str, str], name: str) -> Path | None:
    return Path(values[name]) if name in values else None


def _request_log(values: Mapping[str, str], name: str) -> Path | str | None:
    address = values.get(name)
    if address is None:
        return None
    return address if is_database(address) else Path(address)


def _several(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\s,]+", values.get(name, "")) if part)


def _keys_of_file(values: Mapping[str, str]) -> list[Key]:
    path = _path(values, "MOME_API_KEY_FILE")
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"MOME_API_KEY_FILE: {path} cannot be read: {error}") from None
    keys = [
        parse_key(line, f"MOME_API_KEY_FILE: {path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not keys:
        # Taken for no key at all, an empty file would open the service.
        raise ConfigError(f"MOME_API_KEY_FILE: {path} is empty; expected one key a line")
    return keys


def _default_scale(values: Mapping[str, str], name: str) -> Literal["published", "auto"]:
    match values.get(name, "published"):
        case "auto":
            return "auto"
        case "published":
            return "published"
    raise ConfigError(f"{name}: expected published or auto, got {values[name]!r}")


def _switch(values: Mapping[str, str], name: str) -> bool:
    text = values.get(name, "false").lower()
    if text not in ("true", "false"):
        raise ConfigError(f"{name}: expected true or false, got {values[name]!r}")
    return text == "true"


def _required(values: Mapping[str, str], name: str, default: float) -> float:
    number = _number(values, name, default)
    assert number is not None
    return number


def _count(values: Mapping[str, str], name: str) -> int | None:
    number = _number(values, name, None)
    if number is not None and not number.is_integer():
        raise ConfigError(f"{name}: expected a whole number, got {number:g}")
    return None if number is None else int(number)


def _number(values: Mapping[str, str], name: str, default: float | None) -> float | None:
    if name not in values:
        return default
    try:
        number = float(values[name])
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"{name}: expected a number above zero, got {values[name]!r}")
    return number
