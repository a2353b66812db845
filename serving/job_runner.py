"""Reads jobs beside requests, one at a time in each worker: pieces of both are read in the same batches."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from mome.storage import write_bytes
from serving.engine import Begun, Engine, News, Segment, Transcription
from serving.errors import ApiError
from serving.fields import wanted_reply
from serving.job_store import Job, JobStore
from serving.replies import MEDIA_TYPES, reply

__all__ = ["JobRunner"]

_log = logging.getLogger(__name__)
_LOOK_S = 5.0  # for jobs of other workers that ended
_BEAT_S = 2.0  # in which a worker says that it lives, and hears that a job was cancelled
_TIDY_S = 600.0


class JobRunner:
    """One worker's share of the jobs.

    Args:
        engine: Reads them.
        store: Has them.
    """

    def __init__(self, engine: Engine, store: JobStore) -> None:
        self.store = store
        self._engine = engine
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._submitted = asyncio.Event()

    def wake(self) -> None:
        """Look for a job now."""
        self._submitted.set()

    async def run(self) -> None:
        """Read jobs until the service ends; what is not finished then is taken up by the next worker."""
        tidied_s = 0.0
        while not self._engine.admission.draining:
            self._submitted.clear()
            try:
                if time.monotonic() - tidied_s > _TIDY_S:
                    self.store.tidy()
                    tidied_s = time.monotonic()
                job = self.store.take(self._name)
                if job is not None:
                    await self._read(job)
                    continue
            except OSError as error:  # a full disk, a storage that is away: jobs wait
                _log.error("jobs cannot be read: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._submitted.wait(), _LOOK_S)

    async def _read(self, job: Job) -> None:
        files = {name: self.store.path(job, name) for name in job.files}
        scale = job.fields.get("compression_scale") or None
        _log.info("job %s: %.0f MB", job.id, sum(job.files.values()) / 1e6)
        try:
            timed = wanted_reply(job.fields).timed
            quota = self._engine.quotas.of_digest(job.key)
            heard = None if quota is None else quota.heard
            answer = self._engine.answer(files, scale, job.id, heard, live=False, timed=timed, is_job=True)
            async with aclosing(answer):
                await self._follow(job, answer)
        except ApiError as error:
            if error.status == 503:  # the recording is not to blame; it was an attempt all the same
                self.store.write(job.model_copy(update={"status": "queued", "done_s": 0.0}))
                self.store.release(job)
            else:
                self.store.end(job, "failed", error.body()["error"])
        except asyncio.CancelledError:
            self._give_back(job)
            raise
        except Exception as error:  # noqa: BLE001 - the next job may be well
            _log.error("job %s failed", job.id, exc_info=error)
            failure = ApiError("the service failed on this job; its log says why", status=500)
            self.store.end(job, "failed", failure.body()["error"])

    async def _follow(self, job: Job, answer: AsyncGenerator[News, None]) -> None:
        beat_s = time.monotonic()
        while True:
            coming = asyncio.ensure_future(anext(answer))
            try:
                while not (await asyncio.wait((coming,), timeout=_BEAT_S))[0]:
                    if not self._goes_on(job):
                        return
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait((coming,))
            news = coming.result()
            if isinstance(news, Begun):
                job = self.store.write(job.model_copy(update={"of_s": news.of_s}))
            elif isinstance(news, Segment):
                job = job.model_copy(update={"done_s": news.end_s})
            elif isinstance(news, Transcription):
                self._keep(job, news)
                return
            if time.monotonic() - beat_s > _BEAT_S:
                beat_s = time.monotonic()
                if not self._goes_on(job):
                    return
                self.store.write(job)

    def _goes_on(self, job: Job) -> bool:
        """Tell whether a job is to be read any further; if not, leave it as it is to be found."""
        if self._engine.admission.draining:
            self._give_back(job)
            return False
        if not self.store.keep_claim(job, self._name):
            if self.store.path(job, "cancelled").exists():
                self.store.end(job, "cancelled")
            return False
        return True

    def _give_back(self, job: Job) -> None:
        # It did not end its worker: that counts as no attempt.
        waiting = {"status": "queued", "attempts": job.attempts - 1, "done_s": 0.0}
        self.store.write(job.model_copy(update=waiting))
        self.store.release(job)

    def _keep(self, job: Job, done: Transcription) -> None:
        if not self.store.keep_claim(job, self._name):
            self._goes_on(job)
            return
        for response_format in MEDIA_TYPES:
            wanted = wanted_reply(job.fields)._replace(response_format=response_format)
            body = bytes(reply(done, wanted, self._engine).body)
            write_bytes(self.store.path(job, f"result.{response_format}"), body)
        total = {"done_s": done.duration_s, "of_s": done.duration_s}
        self.store.end(job.model_copy(update=total), "completed")
