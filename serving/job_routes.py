"""Routes for recordings that outlast a connection, under ``/v1/audio/transcriptions/jobs``.

POST   .../jobs               as the transcription itself, without stream; 202 with the job, Location
GET    .../jobs/{id}          how far it is
GET    .../jobs/{id}/result   the reply, in the response_format asked for there, or when it was sent
DELETE .../jobs/{id}          cancel it; or, when it has ended, remove it with its result
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.access import quota
from serving.engine import Engine
from serving.errors import ApiError
from serving.fields import FIELDS, check_fields, wants_stream
from serving.job_runner import JobRunner
from serving.job_store import Job
from serving.replies import MEDIA_TYPES
from serving.upload import receive_upload

__all__ = ["job_routes"]


def job_routes(path: str, engine: Callable[[], Engine], jobs: Callable[[], JobRunner | None]) -> list[Route]:
    """Make the routes.

    Args:
        path: Of the jobs, below that of the API.
        engine: Gives the worker's engine.
        jobs: Gives the worker's jobs; None where the service keeps none.
    """

    def runner() -> JobRunner:
        found = jobs()
        if found is None:
            raise ApiError("this service keeps no jobs (MOME_JOBS)", status=404, code="no_jobs")
        return found

    async def submit(request: Request) -> Response:
        found = runner()
        upload = await receive_upload(
            request, max_bytes=engine().settings.max_upload_bytes, known_fields=FIELDS
        )
        try:
            check_fields(upload.fields, engine())
            engine().choose_scale(upload.fields.get("compression_scale") or None)
            if wants_stream(upload.fields):
                raise ApiError(
                    "stream 'true' is not supported for a job; ask how far it is",
                    param="stream",
                    code="unsupported_value",
                )
            job = await anyio.to_thread.run_sync(
                found.store.submit, upload.files, upload.fields, key(request)
            )
        finally:
            upload.discard()
        found.wake()
        headers = {"Location": f"{request.url.path.rstrip('/')}/{job.id}"}
        return JSONResponse(_shown(job, found), status_code=202, headers=headers)

    async def show(request: Request) -> Response:
        return JSONResponse(_shown(find(request), runner()))

    async def result(request: Request) -> Response:
        job = find(request)
        if job.status != "completed":
            raise ApiError(
                f"the job {job.id} is {job.status.replace('_', ' ')}; there is a result when it is completed",
                status=409,
                code="job_not_completed",
            )
        wanted = request.query_params.get("response_format") or job.fields.get("response_format", "json")
        if wanted not in MEDIA_TYPES:
            raise ApiError(
                f"response_format {wanted!r} is not supported; supported: {', '.join(MEDIA_TYPES)}",
                param="response_format",
                code="unsupported_value",
            )
        body = runner().store.path(job, f"result.{wanted}").read_bytes()
        return Response(body, media_type=MEDIA_TYPES[wanted])

    async def cancel(request: Request) -> Response:
        job = runner().store.cancel(find(request))
        return JSONResponse(_shown(job, runner()))

    def find(request: Request) -> Job:
        return runner().store.find(request.path_params["id"], key(request))

    def key(request: Request) -> str:
        return quota(request).key.secret

    return [
        Route(path, submit, methods=["POST"]),
        Route(f"{path}/{{id}}", show, methods=["GET"]),
        Route(f"{path}/{{id}}", cancel, methods=["DELETE"]),
        Route(f"{path}/{{id}}/result", result, methods=["GET"]),
    ]


def _shown(job: Job, runner: JobRunner) -> dict[str, Any]:
    expires_at = runner.store.expires_at(job)
    return {
        "id": job.id,
        "object": "transcription.job",
        "status": job.status,
        "created_at": int(job.created_at.timestamp()),
        "ended_at": None if job.ended_at is None else int(job.ended_at.timestamp()),
        "expires_at": None if expires_at is None else int(expires_at.timestamp()),
        "progress": {"seconds": job.done_s, "of": job.of_s},
        "position": 0 if job.is_over else runner.store.position(job),
        "error": job.error,
    }
