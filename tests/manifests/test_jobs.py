"""Jobs on a cluster: every serving pod shares their folder, and a version on trial takes none."""

from pathlib import Path

import pytest

from serving.settings import Settings
from tests.manifests.rendered import OVERLAYS, Manifest, container, containers, named, pods, with_components


@pytest.fixture(scope="module", params=OVERLAYS)
def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    return with_components(tmp_path_factory.mktemp(request.param), ["jobs", "rollout"], request.param)


def test_the_service_keeps_jobs_on_the_shared_claim_and_nothing_else_mounts_it(
    jobs: tuple[Manifest, ...],
) -> None:
    serving = container(jobs, "mome-serving/serving")
    given = {variable["name"]: variable.get("value", "") for variable in serving["env"]}
    folder = Settings.from_environment({"MOME_JOBS": given["MOME_JOBS"]}).jobs
    mounts = [mount for mount in serving["volumeMounts"] if Path(mount["mountPath"]) == folder]
    assert [mount.get("readOnly", False) for mount in mounts] == [False]
    claims = {
        name: {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in template["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        for name, template in pods(jobs).items()
    }
    assert {name for name, mounted in claims.items() if "mome-jobs" in mounted} == {"mome-serving"}
    assert [name for name, found in containers(jobs) if "MOME_JOBS" in str(found)] == ["mome-serving/serving"]


def test_several_pods_mount_it_and_it_holds_what_may_wait(jobs: tuple[Manifest, ...]) -> None:
    claim = named(jobs, "PersistentVolumeClaim", "mome-jobs")["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    size = claim["resources"]["requests"]["storage"]
    assert size.endswith("Gi")
    assert int(size.removesuffix("Gi")) * 2**30 > Settings().max_jobs_bytes
