"""The request log in a database: nobody mounts its volume, and all who need it know its URL and reach it."""

from pathlib import Path

import pytest

from mome.request_log.opening import ENVIRONMENT, VARIABLE
from tests.manifests.rendered import (
    OVERLAYS,
    Manifest,
    container,
    containers,
    named,
    of_kind,
    pods,
    with_components,
)

URL = {"secretKeyRef": {"name": "mome-request-log", "key": "url"}}


@pytest.fixture(scope="module", params=OVERLAYS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, ...]:
    folder = tmp_path_factory.mktemp(request.param)
    return with_components(folder, ["request-log-database", "rollout"], request.param)


def test_nobody_mounts_the_log_and_its_claim_is_gone(database: tuple[Manifest, ...]) -> None:
    claims = {found["metadata"]["name"] for found in of_kind(database, "PersistentVolumeClaim")}
    assert "mome-requests" not in claims
    for name, template in pods(database).items():
        mounted = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in template["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert mounted <= claims, name
    for name, found in containers(database):
        assert "/requests" not in {mount["mountPath"] for mount in found["volumeMounts"]}, name
        assert not [word for word in found.get("args", []) if word.startswith("/requests")], name


def test_who_writes_reads_and_forgets_gets_the_url_from_the_secret_and_nobody_else(
    database: tuple[Manifest, ...],
) -> None:
    given = {
        name: variable
        for name, found in containers(database)
        for variable in found.get("env", [])
        if variable["name"] == VARIABLE
    }
    there = dict(containers(database))
    expected = {"mome-serving/serving", "mome-monitor/watch", "mome-retention/retention"} & there.keys()
    assert given.keys() == expected
    assert all(variable == {"name": VARIABLE, "valueFrom": URL} for variable in given.values())
    for name in expected - {"mome-serving/serving"}:
        assert ENVIRONMENT in container(database, name)["args"]


def test_they_may_talk_to_a_database_and_the_candidate_may_not(database: tuple[Manifest, ...]) -> None:
    policy = named(database, "NetworkPolicy", "mome-request-log")["spec"]
    (names,) = policy["podSelector"]["matchExpressions"]
    reached = {
        workload
        for workload, template in pods(database).items()
        if template["metadata"]["labels"]["app.kubernetes.io/name"] in names["values"]
    }
    assert reached == {"mome-serving", "mome-monitor", "mome-retention"} & pods(database).keys()
    assert policy["egress"][-1] == {"ports": [{"protocol": "TCP", "port": 5432}]}


def test_what_is_left_for_many_to_mount_is_the_models(tmp_path: Path) -> None:
    mounting: dict[str, set[str]] = {}
    for name, template in pods(with_components(tmp_path, ["request-log-database"])).items():
        for volume in template["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                mounting.setdefault(volume["persistentVolumeClaim"]["claimName"], set()).add(name)
    assert mounting == {
        "mome-models": {"mome-serving", "mome-monitor", "mome-tools"},
        "mome-monitor": {"mome-monitor", "mome-tools"},  # one pod, and that of a person
    }
