"""A Lease is taken, renewed, left and lost against a server that keeps versions as Kubernetes does."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mome.errors import MonitorError, Occupied
from mome.records import ScaleDecision
from monitoring.lease import ClusterLease, FileLease
from monitoring.publish import File, follow
from tests.monitoring.cluster import LEASE, Api, running

pytest.importorskip("kubernetes", reason="the monitoring extra is not installed")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with running(tmp_path) as (server, config):
        monkeypatch.setenv("KUBECONFIG", config)
        server.leases[LEASE] = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "mome-controller", "resourceVersion": "7"},
            "spec": {},
        }
        yield server


def made(name: str) -> ClusterLease:
    lease = ClusterLease("mome-controller", duration_s=15)
    lease._me = name
    return lease


def age(api: Api, seconds: float) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    api.leases[LEASE]["spec"]["renewTime"] = moment.isoformat().replace("+00:00", "Z")


def test_one_has_it_until_it_is_given_back_or_too_old(api: Api) -> None:
    first, second = made("first"), made("second")
    assert first.hold()
    assert api.leases[LEASE]["spec"]["holderIdentity"] == "first"
    assert not second.hold()
    age(api, 14)
    assert not second.hold()
    age(api, 16)
    assert second.hold()
    first._renewed = None  # its third of the duration is over
    assert not first.hold()
    second.release()
    assert first.hold()


def test_it_is_not_renewed_more_often_than_needed(api: Api) -> None:
    lease = made("first")
    assert lease.hold()
    version = api.leases[LEASE]["metadata"]["resourceVersion"]
    assert lease.hold()
    assert api.leases[LEASE]["metadata"]["resourceVersion"] == version
    lease._renewed = datetime.now(UTC) - timedelta(seconds=6)
    assert lease.hold()
    assert api.leases[LEASE]["metadata"]["resourceVersion"] != version


def test_of_two_at_once_the_slower_one_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.client import CoordinationV1Api

    read = CoordinationV1Api.read_namespaced_lease

    def slow(self: object, *given: object, **more: object) -> object:
        found = read(self, *given, **more)
        api.leases[LEASE]["metadata"]["resourceVersion"] = "99"  # the other one was here meanwhile
        return found

    monkeypatch.setattr(CoordinationV1Api, "read_namespaced_lease", slow)
    assert not made("second").hold()


def test_a_refusal_is_named(api: Api) -> None:
    api.refusal = 403
    with pytest.raises(MonitorError, match="lease speech/mome-controller: the Kubernetes API answered 403"):
        made("first").hold()


def test_a_lock_of_a_folder_is_for_one(tmp_path: Path) -> None:
    first, second = FileLease(tmp_path / "lock"), FileLease(tmp_path / "lock")
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    with pytest.raises(Occupied, match="another monitor is at work"), second:
        pass
    first.release()
    assert second.hold()
    second.release()


def test_who_follows_publishes_what_comes_while_the_lease_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.publish._POLL_S", 0.02)
    state, place = tmp_path / "scale.json", tmp_path / "out" / "scale.json"

    class Sometimes:
        held = False
        released = False

        def hold(self) -> bool:
            return self.held

        def release(self) -> None:
            self.released = True

    lease, stop = Sometimes(), threading.Event()
    thread = threading.Thread(target=follow, args=(state, File(place), lease, stop))
    thread.start()

    def wait_for(scale: str) -> None:
        for _ in range(500):
            if place.exists() and ScaleDecision.read(place).scale == scale:
                return
            stop.wait(0.02)
        raise AssertionError(f"{scale} was not published")

    def decide(scale: str) -> None:
        ScaleDecision(
            at=datetime.now(UTC),
            scale=scale,
            previous=None,
            switched=True,
            snr_db=None,
            requests=0,
            reason="x",
        ).write(state)

    try:
        decide("a4v2")
        stop.wait(0.2)
        assert not place.exists()
        lease.held = True
        wait_for("a4v2")
        state.write_text("nonsense")
        stop.wait(0.1)
        decide("a16v5")
        wait_for("a16v5")
    finally:
        stop.set()
        thread.join(10)
    assert lease.released
