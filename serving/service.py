"""The BentoML service: one model per worker process, the OpenAI routes at ``/v1``, the page at ``/``.

BentoML adds ``/livez``, ``/readyz`` (after warm-up) and ``/metrics``. The module is also imported by
processes that never load a model (the supervisor, the build), so the model's libraries are imported
where it is loaded.
"""

from __future__ import annotations

import asyncio
import gc
import logging

import bentoml

from mome.bundle import read_bundle
from mome.machine.processor import available_cores
from serving.decoders import Decoders
from serving.door import put_door_in_front
from serving.drain import drain_at_sigterm
from serving.engine import Engine
from serving.image import container_image
from serving.job_runner import JobRunner
from serving.job_store import JobStore
from serving.metrics import Metrics
from serving.page import create_page
from serving.request_log import RequestLog
from serving.routes import create_app
from serving.settings import Settings
from serving.stand_in import StandIn

__all__ = ["MomeService"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 60  # from the first byte of a request to the first byte of the reply


def _engine() -> Engine:
    service = bentoml.get_current_service()
    assert isinstance(service.engine, Engine)
    return service.engine


def _jobs() -> JobRunner | None:
    service = bentoml.get_current_service()
    assert service.jobs is None or isinstance(service.jobs, JobRunner)
    return service.jobs


@bentoml.service(
    name="mome",
    image=container_image(),
    traffic={"timeout": _TIMEOUT_S},
    # BentoML reports usage to its makers unless told not to; a speech service should call nobody.
    envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
)
# Mounted as a plain function: BentoML looks into a Starlette application for the path and answers an
# unknown one itself, and not in the shape that OpenAI's clients read.
@bentoml.asgi_app(create_app(_engine, _jobs).__call__, path="/v1")
@bentoml.asgi_app(create_page(), path="/")
class MomeService:
    """Transcribes speech, from sound, lips or both, at the compression scale in force."""

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # bentoml has no types
    @staticmethod
    def check() -> None:
        """Look at what is served before any worker starts: a mistake ends the start with one message."""
        settings = Settings.from_environment()
        read_bundle(settings.bundle)
        RequestLog(settings.request_log).close()  # whether its address is one; the database may be away

    def __init__(self) -> None:
        from mome.inference import Transcriber
        from mome.machine.devices import check_devices

        settings = Settings.from_environment()
        check_devices(settings.device)
        bundle = read_bundle(settings.bundle)
        decoding = settings.decoding(bundle.decoding)
        # These processes start while the model is loaded.
        self._stand_in = StandIn()
        self._decoders = Decoders(
            settings.decoders or available_cores(),
            memory_bytes=settings.decode_memory_bytes,
            timeout_s=settings.decode_timeout_s,
        )
        transcriber = Transcriber.load(
            bundle.foundation,
            bundle.checkpoint,
            decoding,
            settings.device,
            threads=settings.threads,
            compile_decoding=settings.compile_decoding,
        )
        self.engine = Engine(bundle, transcriber, self._decoders, settings, Metrics())
        self.engine.warm_up()
        self.jobs: JobRunner | None = None
        # What was loaded stays. Looking through it for garbage stops everything for a third of a second.
        gc.collect()
        gc.freeze()
        _log.info("%s %s serves the scales %s", bundle.name, bundle.version, self.engine.scales)

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # bentoml has no types
    async def start(self) -> None:
        """Answer what was let in before a SIGTERM ends this process, and read jobs until then."""
        put_door_in_front(self.engine, self._stand_in)
        drain_at_sigterm(self.engine)
        settings = self.engine.settings
        if settings.jobs is not None:
            store = JobStore(
                settings.jobs,
                max_jobs=settings.max_jobs,
                max_bytes=settings.max_jobs_bytes,
                kept_h=settings.jobs_kept_h,
            )
            self.jobs = JobRunner(self.engine, store)
            self._reading = asyncio.create_task(self.jobs.run())

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # bentoml has no types
    def close(self) -> None:
        """End the model's thread and the processes beside it, and close the request log."""
        self.engine.close()
        self._decoders.close()
        self._stand_in.close()
