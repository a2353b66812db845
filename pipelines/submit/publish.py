"""Put a pipeline, its version, an experiment and a run on the server, each at most once.

The server takes a name as a wish only: it cannot be told to create a run once. So everything has a name
that is its own (a version its commit, a run the key of the submission), and is looked for by that name
before every attempt to create it, the first included.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_server_api import (  # type: ignore[import-untyped]
    V2beta1Experiment,
    V2beta1Pipeline,
    V2beta1PipelineVersionReference,
    V2beta1Run,
    V2beta1RuntimeConfig,
)

from mome.errors import ConfigError
from pipelines.calls import NotThere, OutOfTime, Patience, ServerError, create, read
from pipelines.submit.package import Package
from pipelines.submit.tasks import ENDED

__all__ = ["Publisher", "seniority"]

PAGE = 100


@dataclass(frozen=True)
class Publisher:
    """What creates things on a server.

    Args:
        client: kfp's, from `pipelines.client.connect`.
        namespace: Profile namespace, or None.
        patience: With calls that fail.
    """

    client: Any
    namespace: str | None
    patience: Patience

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, created if it is not there."""
        found = create(
            f"create experiment {name!r}",
            self.client.experiments.experiment_service_create_experiment,
            find=lambda: self._listed(
                "experiment",
                self.client.experiments.experiment_service_list_experiments,
                "experiments",
                name,
                namespace=self.namespace or "",
            ),
            patience=self.patience,
            experiment=V2beta1Experiment(display_name=name, namespace=self.namespace),
        )
        return _id("experiment", found.experiment_id)

    def version(self, package: Package, name: str, description: str) -> tuple[str, str]:
        """Return the ids of the pipeline and of its version, uploaded if they are not there.

        Raises:
            ConfigError: If the server has another pipeline under this version.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{package.name}.yaml"
            file.write_text(package.text)
            pipeline_id = _id("pipeline", self._pipeline(package).pipeline_id)
            version = self._version(pipeline_id, package, name, file, description)
        version_id = _id("version", version.pipeline_version_id)
        stored = read(
            f"read version {name}",
            self.client.pipelines.pipeline_service_get_pipeline_version,
            pipeline_id,
            version_id,
            patience=self.patience,
        )
        if stored.pipeline_spec is not None and not package.same(stored.pipeline_spec):
            raise ConfigError(
                f"version {name} of {package.name} is on the server with another content; leave out "
                "--version, so that the content is part of its name, or give another one"
            )
        return pipeline_id, version_id

    def run(
        self, name: str, experiment_id: str, pipeline: tuple[str, str], arguments: dict[str, Any], **more: Any
    ) -> Any:
        """Return the run of this name in the experiment, started if there is none."""
        pipeline_id, version_id = pipeline
        body = V2beta1Run(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=pipeline_id, pipeline_version_id=version_id
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=arguments),
            **more,
        )
        found = create(
            f"start run {name!r}",
            self.client.runs.run_service_create_run,
            body,
            find=lambda: self.find_run(name, experiment_id),
            patience=self.patience,
        )
        _id("run", found.run_id)
        return found

    def find_run(self, name: str, experiment_id: str) -> Any | None:
        """Return the run of this name in the experiment, or None."""
        return self._listed(
            "run", self.client.runs.run_service_list_runs, "runs", name, experiment_id=experiment_id
        )

    def unfinished(self, experiment_id: str) -> list[Any]:
        """Return the runs of the experiment that have not ended, the oldest first."""
        found: list[Any] = []
        token = ""
        while True:
            answer = read(
                "list the runs of the experiment",
                self.client.runs.run_service_list_runs,
                patience=self.patience,
                experiment_id=experiment_id,
                page_size=PAGE,
                page_token=token,
                sort_by="created_at desc",
            )
            found += [run for run in answer.runs or [] if str(run.state or "").upper() not in ENDED]
            token = answer.next_page_token or ""
            if not token:
                return sorted(found, key=seniority)

    def get(self, run_id: str, patience: Patience | None = None) -> Any:
        """Return a run as it is now."""
        found = read(
            f"read run {run_id}",
            self.client.runs.run_service_get_run,
            run_id,
            patience=patience or self.patience,
        )
        _id("run", found.run_id)
        return found

    def terminate(self, run_id: str) -> None:
        """End a run; one that has ended stays as it is."""
        try:
            read(
                f"end run {run_id}",
                self.client.runs.run_service_terminate_run,
                run_id,
                patience=self.patience,
            )
        except OutOfTime:
            raise
        except ServerError:  # the server refuses to end what has ended
            if str(self.get(run_id).state or "").upper() not in ENDED:
                raise

    def _pipeline(self, package: Package) -> Any:
        options = {} if self.namespace is None else {"namespace": self.namespace}
        return create(
            f"create pipeline {package.name}",
            self.client.pipelines.pipeline_service_create_pipeline,
            # Without a file: that would become a first version, named like the pipeline.
            V2beta1Pipeline(name=package.name, display_name=package.name, **options),
            find=lambda: self._listed(
                "pipeline",
                self.client.pipelines.pipeline_service_list_pipelines,
                "pipelines",
                package.name,
                **options,
            ),
            patience=self.patience,
        )

    def _version(self, pipeline_id: str, package: Package, name: str, file: Path, description: str) -> Any:
        return create(
            f"upload version {name}",
            self.client.pipeline_uploads.upload_pipeline_version,
            str(file),
            find=lambda: self._listed(
                "version",
                self.client.pipelines.pipeline_service_list_pipeline_versions,
                "pipeline_versions",
                name,
                pipeline_id=pipeline_id,
            ),
            patience=self.patience,
            # Where pipelines are kept as objects of Kubernetes this is the object's name.
            name=re.sub(r"[^a-z0-9.-]", "-", f"{package.name}-{name}".lower()),
            display_name=name,
            pipelineid=pipeline_id,
            description=description,
        )

    def _listed(self, kind: str, call: Any, field: str, name: str, **options: Any) -> Any | None:
        """Return the one thing of this name; the server filters, and its answer is looked at again."""
        try:
            answer = read(
                f"look for {kind} {name!r}",
                call,
                patience=self.patience,
                filter=_named(name),
                page_size=10,
                **options,
            )
        except NotThere:
            return None
        found = [item for item in getattr(answer, field) or [] if item.display_name == name]
        return found[0] if found else None


def _named(name: str) -> str:
    """Return the filter that lets only what is called so through.

    The server decodes a filter once more than its address: of a plus it would make a blank, and of a percent
    sign an error. As JSON's own escapes both pass, by servers that decode it and by those that do not.
    """
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    text = json.dumps({"predicates": [predicate]})  # in ASCII: other letters are escapes already
    return text.replace("+", r"\u002b").replace("%", r"\u0025")


def seniority(run: Any) -> tuple[float, str]:
    """Return what orders runs by age; the id decides within a second, so that all see the same order."""
    return (run.created_at.timestamp() if run.created_at else math.inf, str(run.run_id))


def _id(kind: str, value: str | None) -> str:
    if not value:
        raise ServerError(
            f"the server's answer holds no id of the {kind}: a login page or a proxy may have answered; "
            "check the address and the token"
        )
    return value
