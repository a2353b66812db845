"""What a trigger may ask of a retraining: an allow-list, for anybody with a token may have sent it.

A payload never says where the corpus is, which image runs or what else a parameter is: it may name a
revision of the corpus that a reviewed file names, and the noise that was heard. All else is refused.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import yaml
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from components.request_retraining.noise import LEARNED, learn_noise
from mome.addresses import split_revision
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.records import Record, RetrainRequest

__all__ = ["PAYLOAD", "Trigger", "corpus_address", "pointer_address", "read_trigger"]

PAYLOAD = "MOME_PAYLOAD"  # the variable that brings it, for nothing of it may ever be part of a command
LARGEST = 8192  # characters
KINDS = ("manual", "new-data", "schedule", "snr-drift")

# As git and DVC name revisions, and nothing that a command could take for an option or a path.
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$")]
# Words for people: printed, so without the marks that steer terminals and pages.
Words = Annotated[str, StringConstraints(pattern=r"^[\w .,:;()%/+'=-]*$", max_length=300)]
Decibel = Annotated[float, Field(ge=-30, le=60, allow_inf_nan=False)]


class Trigger(Record):
    """Base of what a trigger may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: Words = ""

    @property
    def asked_profile(self) -> str | None:
        """Profile of ``mome/profiles``, None for ``params.yaml`` as it is."""
        return getattr(self, "profile", None) or None

    @property
    def asked_revision(self) -> str | None:
        """Revision of the corpus, None for that of the reviewed file."""
        return getattr(self, "revision", None) or None

    def sections(self, train: TrainParams) -> dict[str, dict[str, Any]]:  # noqa: ARG002 - one kind needs it
        """Return what is to change in the sections of ``params.yaml``."""
        return {}


class _Schedule(Trigger):
    """Time has passed; nothing is asked for."""


class _NewData(Trigger):
    """There is a newer revision of the corpus."""

    revision: Revision | Literal[""] = ""


class _Manual(_NewData):
    """A person asks, through the form of the workflow; its empty fields are empty texts."""

    environment: Literal["production", "staging"] = "production"  # that the workflow runs in
    profile: Annotated[str, StringConstraints(pattern=r"^[0-9a-z-]{0,40}$")] = ""
    steps: Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,6})?$")] = ""

    def sections(self, train: TrainParams) -> dict[str, dict[str, Any]]:  # noqa: ARG002
        return {"train": {"steps": int(self.steps)}} if self.steps else {}


class _SnrDrift(Trigger):
    """The monitor asks: no scale is good enough at the noise that is heard (a `RetrainRequest`)."""

    at: Annotated[datetime, Field(strict=False)]
    snr_low_db: Decibel
    snr_high_db: Decibel
    noise: Words = ""

    @model_validator(mode="after")
    def _ordered(self) -> _SnrDrift:
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(f"snr_low_db {self.snr_low_db:g} lies above snr_high_db {self.snr_high_db:g}")
        return self

    def sections(self, train: TrainParams) -> dict[str, dict[str, Any]]:
        request = RetrainRequest(
            at=self.at,
            snr_low_db=self.snr_low_db,
            snr_high_db=self.snr_high_db,
            noise=self.noise,
            reason=self.reason,
        )
        learned = learn_noise(train, request).model_dump(mode="json")
        return {"train": {name: learned[name] for name in LEARNED}}


_RECORDS: dict[str, type[Trigger]] = dict(zip(KINDS, (_Manual, _NewData, _Schedule, _SnrDrift), strict=True))


def read_trigger(kind: str, payload: str | None = None) -> Trigger:
    """Check what a trigger brought against the allow-list of its kind.

    Args:
        kind: One of `KINDS`.
        payload: JSON; that of the variable `PAYLOAD` if None. Nothing, ``null`` and ``{}`` ask for nothing.

    Raises:
        ConfigError: If the kind is unknown, or if anything in the payload is not on the list.
    """
    if kind not in _RECORDS:
        raise ConfigError(f"trigger {kind!r}: expected one of {', '.join(KINDS)}")
    text = os.environ.get(PAYLOAD, "") if payload is None else payload
    if len(text) > LARGEST:
        raise ConfigError(f"payload of {kind}: {len(text)} characters, at most {LARGEST} are read")
    record = _RECORDS[kind]
    try:
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number) if text.strip() else {}
        found = {} if content is None else TypeAdapter(dict[str, Any]).validate_python(content, strict=True)
        return record.model_validate(found)
    except ValidationError as error:
        # The values are not repeated: they are a stranger's, and logs are read in terminals.
        said = "; ".join(f"{_place(part['loc'])}: {_explain(part, record)}" for part in error.errors())
        raise ConfigError(f"payload of {kind} refused: {said}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"payload of {kind} refused: no JSON object: {type(error).__name__}") from None


def pointer_address(path: Path) -> str:
    """Return ``address@revision`` of the corpus that a ``.dvc`` file points to, as ``dvc import`` writes it.

    Raises:
        ConfigError: If the file is missing or points to no repository.
    """
    try:
        content = yaml.safe_load(path.read_text())
        repository = content["deps"][0]["repo"]
        return f"{repository['url']}@{repository['rev_lock']}"
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        raise ConfigError(f"{path}: expected a .dvc file that `dvc import` wrote: url and rev_lock") from None


def corpus_address(corpus: str | None, trigger: Trigger) -> str | None:
    """Return the corpus, at the revision that the trigger asks for.

    Raises:
        ConfigError: If a revision is asked for and there is no repository that could have it.
    """
    revision = trigger.asked_revision
    if revision is None:
        return corpus
    if not corpus or corpus == "embedded":
        raise ConfigError(
            f"revision {revision}: of which corpus? name its repository with --pointer or --set corpus=..."
        )
    return f"{split_revision(corpus)[0][0]}@{revision}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and infinity are no JSON")


def _place(location: tuple[int | str, ...]) -> str:
    """Return the name of a field; of one that is not ours only that it is not."""
    name = str(location[0]) if location else ""
    return name if re.fullmatch(r"[a-z_]{1,40}", name) else "(a field)"


def _explain(part: Any, record: type[Trigger]) -> str:
    if part["type"] == "extra_forbidden":
        return f"not on the list; allowed are {', '.join(record.model_fields)}"
    return (
        str(part["msg"]).lower()
        if part["type"] != "string_pattern_mismatch"
        else "has marks that are not allowed"
    )
