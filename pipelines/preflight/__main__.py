"""Look at a cluster before a run is started: ``python -m pipelines.preflight``.

One line for each thing, right or what to do. What whoever asks may not see is "unseen", and stops nothing.
Claims, secrets and images are those of pipelines/cluster.yaml, of the file that MOME_CLUSTER names, and of
components/images.lock.json.
"""

from __future__ import annotations

import argparse
import os
from functools import partial

from mome.cli import main
from mome.errors import MomeError, ServiceError
from monitoring.access import connect
from pipelines.calls import Patience
from pipelines.client import Connection, add_options
from pipelines.cluster import Cluster, load_cluster
from pipelines.preflight import images, namespace, retries, trainer
from pipelines.preflight.check import Check, unseen
from pipelines.preflight.kubernetes_api import Api
from pipelines.preflight.server import Server

__all__ = ["checks"]

PATIENCE = Patience(attempts=2, first_wait_s=0.5)
OF_A_PROFILE, OF_THE_SERVER = "default-editor", "pipeline-runner"  # service accounts


def checks(options: argparse.Namespace, cluster: Cluster) -> list[Check]:
    """Return every look, in the order in which things are installed.

    Args:
        options: Of the command line.
        cluster: What steps are given.
    """
    find = partial(Connection.find, options.host, options.namespace, options.token_file, options.ca_cert)
    return [*Server(find, PATIENCE).checks(), *images.checks(PATIENCE), *_on_the_cluster(options, cluster)]


def _on_the_cluster(options: argparse.Namespace, cluster: Cluster) -> list[Check]:
    try:
        client, current = connect()
    except MomeError as error:
        said = f"{error}: nothing on the cluster was looked at"
        return [Check("cluster", lambda: unseen(said))]
    api = Api(client)
    where = options.namespace or os.environ.get("KF_PIPELINES_NAMESPACE") or current
    is_profile = where != options.kubeflow_namespace
    account = options.service_account or (OF_A_PROFILE if is_profile else OF_THE_SERVER)
    return [
        *namespace.checks(api, where, account, cluster, is_profile=is_profile),
        *trainer.checks(api, cluster),
        *retries.checks(api, options.kubeflow_namespace),
    ]


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.preflight",
        description="Look at a cluster before a run is started: one line each, right or what to do.",
        epilog="exit code: 0 if there is nothing to do, 1 if there is, 2 if the command line is wrong",
    )
    parser.add_argument("--service-account", help="that the steps run as; default: the namespace's own")
    parser.add_argument("--kubeflow-namespace", default="kubeflow", help="of the server; default: kubeflow")
    add_options(parser)
    options = parser.parse_args()
    open_ends = 0
    for check in checks(options, load_cluster()):
        mark, text = check.answer()
        open_ends += mark == "TO DO"
        print(f"{mark:6}  {check.subject}: {text}", flush=True)
    if open_ends:
        raise ServiceError(f"{open_ends} to do before a run is started")


if __name__ == "__main__":
    raise SystemExit(main(_command))
