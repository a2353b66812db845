"""Why a hub did not hand a model out, in one line that ends with what to do."""

from __future__ import annotations

import os

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

__all__ = ["explain"]

_OFFLINE = "HF_HUB_OFFLINE"
_PERMIT = "give the step a token that may read it: on a cluster as HF_TOKEN out of secret mome-hub"
_FOLDER = "or name a folder instead"


def explain(error: BaseException) -> str:
    """Return what an error of transformers says, in one line; where a hub is behind it, with what to do."""
    cause: BaseException | None = error
    while cause is not None:
        if (advice := _advice(cause)) is not None:
            # Its first line alone: transformers goes on with advice that helps nobody in a step.
            first = str(error).strip().partition("\n")[0]
            return f"{first.rstrip('.:')}: {advice}"
        cause = cause.__cause__
    return " ".join(str(error).split())


def _advice(error: BaseException) -> str | None:
    if isinstance(error, GatedRepoError):
        return f"only who asked on the page of the model gets it; ask, then {_PERMIT}"
    if isinstance(error, RevisionNotFoundError):
        return "correct the revision, behind the @"
    if isinstance(error, RepositoryNotFoundError):
        return f"correct the name; if the model is not public, {_PERMIT}"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"the hub does not accept who asks ({status}); {_PERMIT}"
        return f"the hub failed ({status}); start the run again later, {_FOLDER}"
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        if os.environ.get(_OFFLINE, "") not in ("", "0"):
            return (
                f'downloads are switched off; set {_OFFLINE}: "0" for step build_foundation in the cluster '
                f"file, {_FOLDER}"
            )
        return f"the hub cannot be reached from here; let the step out to it, {_FOLDER}"
    return None
