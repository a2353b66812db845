"""Jobs as files: what was sent, how far it is, and what came out, in one folder that several workers share.

<id>/job.json       what is known of it, written whole
<id>/file, video    what was sent, until it is done
<id>/claim          who reads it; the time of the file is when that worker was last seen
<id>/cancelled      there when it is to end
<id>/result.json    the segments, when it is done

Whoever takes a job makes its claim, which only one can. A claim that nobody has touched for a minute belongs
to a worker that is gone: another one takes the job up again, from its beginning.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from mome.errors import MomeError
from mome.records import Moment, Record
from mome.storage import new_folder
from serving.errors import ApiError
from serving.keys import digest

__all__ = ["Job", "JobStore", "Status"]

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]

_LOST_S = 60.0  # after which a claim that was not touched belongs to nobody
_MOST_ATTEMPTS = 3  # a recording that ends its worker each time is not tried for ever
_AGAIN_S = 60  # what is done is removed by the hour: a full store says to come in a while
_ID = re.compile(r"job_[A-Za-z0-9_-]{32}")


class Job(Record):
    """One recording to transcribe, and how far that is."""

    id: str
    key: str  # SHA-256 of the key of whoever sent it; empty where no key is asked for
    status: Status
    created_at: Moment
    fields: dict[str, str]  # of the form
    files: dict[str, int]  # name and bytes
    attempts: int = 0
    ended_at: Moment | None = None
    done_s: float = 0.0  # of the recording
    of_s: float | None = None  # None as long as nobody knows
    error: dict[str, str | None] | None = None  # in OpenAI's shape

    @property
    def is_over(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.ended_at is not None


class JobStore:
    """The folder of all jobs.

    Args:
        folder: Made when the first job comes.
        max_jobs: Jobs that wait or are read.
        max_bytes: Of all that was sent for them.
        kept_h: Hours for which a job is kept when it has ended.
    """

    def __init__(self, folder: Path, *, max_jobs: int, max_bytes: int, kept_h: float) -> None:
        self._folder = folder
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._kept = timedelta(hours=kept_h)

    def submit(self, files: Mapping[str, bytes | Path], fields: Mapping[str, str], key: str) -> Job:
        """Keep a recording until it is read; files on disk are moved.

        Raises:
            ApiError: With status 429 if there are enough.
        """
        sizes = {name: _size(content) for name, content in files.items()}
        open_jobs = [job for job in self._all() if not job.is_over]
        held = sum(sum(job.files.values()) for job in open_jobs)
        if len(open_jobs) >= self._max_jobs or held + sum(sizes.values()) > self._max_bytes:
            raise ApiError(
                f"{len(open_jobs)} jobs of {held / 1e6:.0f} MB wait already; try again in {_AGAIN_S} s",
                status=429,
                code="rate_limit_exceeded",
                headers={"Retry-After": str(_AGAIN_S)},
            )
        job = Job(
            id=f"job_{secrets.token_urlsafe(24)}",  # nobody guesses it
            key=digest(key),
            status="queued",
            created_at=datetime.now(UTC),
            fields=dict(fields),
            files=sizes,
        )
        with new_folder(self._folder / job.id) as folder:
            for name, content in files.items():
                if isinstance(content, Path):
                    shutil.move(content, folder / name)
                else:
                    (folder / name).write_bytes(content)
            job.write(folder / "job.json")
        return job

    def find(self, job_id: str, key: str) -> Job:
        """Return a job to whoever sent it.

        Raises:
            ApiError: With status 404 if there is none of that key.
        """
        job = self._read(job_id) if _ID.fullmatch(job_id) else None
        if job is None or not secrets.compare_digest(job.key, digest(key)):
            raise ApiError(f"there is no job {job_id!r}", status=404, code="job_not_found")
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs are before it that have not ended."""
        return sum(
            not other.is_over and (other.created_at, other.id) < (job.created_at, job.id)
            for other in self._all()
        )

    def path(self, job: Job, name: str) -> Path:
        """Return where a file of a job is."""
        return self._folder / job.id / name

    def take(self, worker: str) -> Job | None:
        """Claim the oldest job that waits, or that a worker left when it ended; None if there is none.

        A job that several workers left is over.
        """
        for job in sorted(self._all(), key=lambda job: (job.created_at, job.id)):
            if job.is_over or not self._claim(job, worker):
                continue
            current = self._read(job.id)  # it may have ended since
            if current is None or current.is_over:
                self.release(job)
                continue
            if current.attempts == _MOST_ATTEMPTS:
                self.end(current, "failed", _ended_with("the service ended each time while it read this job"))
                continue
            return self.write(
                current.model_copy(update={"status": "in_progress", "attempts": current.attempts + 1})
            )
        return None

    def keep_claim(self, job: Job, worker: str) -> bool:
        """Say that the worker still reads it; False if the job is to end, or is another worker's by now."""
        claim = self.path(job, "claim")
        try:
            mine = claim.read_text(encoding="utf-8") == worker
            if mine:
                os.utime(claim)
        except OSError:
            return False
        return mine and not self.path(job, "cancelled").exists()

    def release(self, job: Job) -> None:
        """Let others take it."""
        self.path(job, "claim").unlink(missing_ok=True)

    def write(self, job: Job) -> Job:
        """Write what is known of a job; one whose folder is gone stays gone."""
        if self.path(job, "job.json").exists():
            job.write(self.path(job, "job.json"))
        return job

    def end(self, job: Job, status: Status, error: dict[str, str | None] | None = None) -> Job:
        """Say how a job ended; what was sent is removed."""
        ended = job.model_copy(update={"status": status, "ended_at": datetime.now(UTC), "error": error})
        self.write(ended)
        for name in job.files:
            self.path(job, name).unlink(missing_ok=True)
        self.release(job)
        return ended

    def cancel(self, job: Job) -> Job:
        """End a job that has not ended; remove one that has, with its result."""
        if job.is_over:
            shutil.rmtree(self._folder / job.id, ignore_errors=True)
            return job
        self.path(job, "cancelled").touch()
        if self._claim(job, "cancel"):  # nobody reads it
            return self.end(job, "cancelled")
        return job.model_copy(update={"status": "cancelled"})

    def tidy(self) -> None:
        """Remove what has been over for long enough."""
        for job in self._all():
            if job.ended_at is not None and datetime.now(UTC) - job.ended_at > self._kept:
                shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def expires_at(self, job: Job) -> datetime | None:
        """Return when a job that has ended is removed."""
        return None if job.ended_at is None else job.ended_at + self._kept

    def _claim(self, job: Job, worker: str) -> bool:
        claim = self.path(job, "claim")
        try:
            if time.time() - claim.stat().st_mtime < _LOST_S:
                return False
            # Of several who see that it is lost, one can move it away.
            lost = claim.with_name(f".lost-{secrets.token_hex(8)}")
            claim.rename(lost)
            lost.unlink()
        except FileNotFoundError:
            pass
        try:
            with claim.open("x", encoding="utf-8") as file:
                file.write(worker)
        except (FileExistsError, FileNotFoundError):
            return False
        return True

    def _all(self) -> Iterator[Job]:
        if not self._folder.is_dir():
            return
        for folder in self._folder.iterdir():
            if _ID.fullmatch(folder.name) and (job := self._read(folder.name)) is not None:
                yield job

    def _read(self, job_id: str) -> Job | None:
        path = self._folder / job_id / "job.json"
        try:
            return Job.read(path) if path.exists() else None
        except (MomeError, OSError):  # it is removed just now
            return None


def _ended_with(message: str) -> dict[str, str | None]:
    return {"message": message, "type": "server_error", "param": None, "code": "worker_lost"}


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
