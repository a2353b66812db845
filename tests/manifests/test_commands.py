"""The commands of the manifests, run here: with the paths of a pod moved into a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from components.images import FOLDERS
from mome.bundle import Bundle, write_bundle
from mome.config import load_params
from mome.records import ScaleDecision
from mome.registry.history import Lineage
from mome.scales import Scale
from monitoring.parameters import load_monitor_params
from serving.registry.address import open_registry
from tests.manifests.rendered import MANIFESTS, ROOT, Manifest, container, named, of_kind
from tests.monitoring.cluster import LEASE, PATH, running
from tests.planted import request
from tests.serving.planted import write_parts

CORPUS = "embedded"


class Pod:
    """Runs containers with their volumes under one folder, mounted as the manifest mounts them."""

    def __init__(self, objects: tuple[Manifest, ...], root: Path, version: str, more: dict[str, str]) -> None:
        self.objects, self.root = objects, root
        model = named(objects, "ConfigMap", "mome-model")["data"]
        self.values = {name.upper(): value for name, value in model.items()} | {"VERSION": version}
        self.more = more

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        process = self.start(name)
        try:
            said, complained = process.communicate(timeout=120)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, said, complained)

    def start(self, name: str) -> subprocess.Popen[str]:
        found = container(self.objects, name)
        words = [self.moved(word, found) for word in [*found["command"], *found["args"]]]
        words = [sys.executable if word == "python3" else word for word in words]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | self.more
        return subprocess.Popen(
            words, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def moved(self, word: str, found: Manifest) -> str:
        """Fill in the variables as the kubelet does, and move a path of a mounted volume."""
        declared = {variable["name"] for variable in found.get("env", [])}
        for variable in re.findall(r"\$\((\w+)\)", word):
            assert variable in declared, f"$({variable}) would be passed on as it is"
            word = word.replace(f"$({variable})", self.values[variable])
        for mount in found["volumeMounts"]:
            if word == mount["mountPath"] or word.startswith(mount["mountPath"] + "/"):
                return f"{self.root}{word}"
        assert not word.startswith("/"), f"{word} is on no volume"
        return word


def made_bundle(folder: Path, config: str = "{}\n") -> Bundle:
    parts = write_parts(folder / "parts", modality="audio")
    evaluation = json.loads((parts["evaluation"] / "evaluation.json").read_text())
    evaluation["corpus"] = CORPUS
    (parts["evaluation"] / "evaluation.json").write_text(json.dumps(evaluation))
    (parts["checkpoint"] / "config.json").write_text(config)
    return write_bundle(name="mome", default_scale=Scale(16, 5), output=folder / "bundle", **parts)


@pytest.fixture
def pod(cpu: tuple[Manifest, ...], tmp_path: Path) -> Pod:
    bundle = made_bundle(tmp_path)
    for folder in ("models", "requests", "state", "etc/mome", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    registry = open_registry(str(tmp_path / "models" / "registry"))
    registry.register(bundle.path, CORPUS, Lineage(code="planted", run="", image=""), by="test")
    registry.promote(CORPUS, bundle.version, by="test")
    (tmp_path / "etc" / "mome" / "monitor.yaml").write_text(
        named(cpu, "ConfigMap", "mome-monitor")["data"]["monitor.yaml"]
    )
    return Pod(cpu, tmp_path, bundle.version, {})


def wait_for(what: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.1)


def log_requests(folder: Path, snr_db: float) -> None:
    with (folder / "requests-2026-11-20-pod-7.jsonl").open("w") as file:
        for number in range(80):
            record = request(f"r{number}", datetime.now(UTC), scale="a16v5", snr_db=snr_db)
            file.write(record.model_dump_json() + "\n")


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_version_goes_from_the_registry_to_the_volume_to_the_monitor_to_the_config_map(pod: Pod) -> None:
    assert pod.run("mome-serving/wait").returncode == 0
    pulled = pod.run("mome-serving/pull")
    assert pulled.returncode == 0, pulled.stderr
    served = pod.root / "models" / "served" / pod.values["VERSION"]
    assert (served / "bundle.json").is_file()
    before = served.stat().st_mtime_ns
    assert pod.run("mome-serving/pull").returncode == 0  # the next pod finds it there
    assert served.stat().st_mtime_ns == before

    log_requests(pod.root / "requests", snr_db=30.0)
    scale, journal = pod.root / "state" / "scale.json", pod.root / "state" / "decisions.jsonl"
    with running(pod.root) as (api, config):
        api.leases[LEASE] = {"metadata": {"name": "mome-controller", "resourceVersion": "1"}, "spec": {}}
        pod.more = {"KUBECONFIG": config}
        processes = [pod.start("mome-monitor/watch"), pod.start("mome-monitor/publish")]
        try:
            wait_for(lambda: "scale.json" in api.config_maps[PATH]["data"], processes)
        finally:
            for process in processes:
                process.terminate()
                assert process.wait(timeout=30) == 0
                process.communicate()
        decided = ScaleDecision.model_validate_json(journal.read_text().splitlines()[0])
        assert decided.requests == 80
        assert ScaleDecision.model_validate_json(api.config_maps[PATH]["data"]["scale.json"]) == decided
        assert ScaleDecision.read(scale) == decided


def test_a_pod_waits_for_a_version_that_is_not_there_yet_and_names_those_there_are(
    pod: Pod, tmp_path: Path
) -> None:
    registry, known = pod.root / "models" / "registry", pod.values["VERSION"]
    new = made_bundle(tmp_path / "new", config='{"another": 1}\n')
    pod.values["VERSION"] = new.version
    waiting = pod.start("mome-serving/wait")
    try:
        assert waiting.stdout is not None
        said = waiting.stdout.readline()
        assert said == f"waiting: {CORPUS}: no version {new.version!r} is registered; versions: {known}\n"
        assert waiting.poll() is None
        open_registry(str(registry)).register(
            new.path, CORPUS, Lineage(code="planted", run="", image=""), by="test"
        )
        started = time.monotonic()
        assert waiting.wait(timeout=60) == 0
        assert time.monotonic() - started < 30, "Kubernetes would start it again after up to five minutes"
    finally:
        waiting.kill()
        waiting.communicate()


def test_a_pod_that_waits_goes_at_once_when_it_is_told_to(pod: Pod) -> None:
    pod.values["VERSION"] = "000000000000"
    waiting = pod.start("mome-serving/wait")
    try:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith("waiting: ")
        waiting.terminate()
        assert waiting.wait(timeout=30) == 1
    finally:
        waiting.kill()
        waiting.communicate()


def test_the_monitor_waits_for_the_first_version_and_changes_nothing(pod: Pod) -> None:
    pod.values["VERSION"] = "000000000000"
    with running(pod.root) as (api, config):
        api.leases[LEASE] = {"metadata": {"name": "mome-controller", "resourceVersion": "1"}, "spec": {}}
        pod.more = {"KUBECONFIG": config}
        processes = [pod.start("mome-monitor/watch"), pod.start("mome-monitor/publish")]
        try:
            wait_for(lambda: "holderIdentity" in api.leases[LEASE]["spec"], processes)
            assert processes[0].stderr is not None
            assert "the bundle cannot be monitored" in processes[0].stderr.readline()
            assert all(process.poll() is None for process in processes)
        finally:
            for process in processes:
                process.terminate()
                process.communicate(timeout=30)
        assert "scale.json" not in api.config_maps[PATH]["data"]
    assert {path.name for path in (pod.root / "state").iterdir()} == {"monitor.lock"}


def test_old_days_of_the_request_log_go_and_nothing_else(pod: Pod) -> None:
    old = time.time() - 40 * 86400
    for name, moment in [
        ("requests-2026-10-01-pod-7.jsonl", old),
        ("requests-2026-11-20-pod-7.jsonl", time.time()),
        ("notes.txt", old),
    ]:
        (pod.root / "requests" / name).write_text("{}\n")
        os.utime(pod.root / "requests" / name, (moment, moment))
    done = pod.run("mome-retention/retention")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in (pod.root / "requests").iterdir()}
    assert left == {"requests-2026-11-20-pod-7.jsonl", "notes.txt"}


def test_every_module_that_is_called_is_in_the_image_that_calls_it(cpu: tuple[Manifest, ...]) -> None:
    called = {
        "mome-serving/wait": ("mome-serve", "serving"),
        "mome-serving/pull": ("mome-serve", "serving"),
        "mome-serving/serving": ("mome-serve", "serving"),
        "mome-monitor/watch": ("mome-monitor", "monitoring"),
        "mome-retention/retention": ("mome-monitor", "monitoring"),
        "mome-monitor/publish": ("mome-monitor", "monitoring"),
    }
    for name, (image, folder) in called.items():
        found = container(cpu, name)
        assert found["image"].partition("@")[0] == image
        assert any(word.split(":")[0].split(".")[0] == folder for word in found["command"] + found["args"])
        assert folder in FOLDERS[image.removeprefix("mome-")]


def test_the_monitors_parameters_are_a_section_of_params_yaml(tmp_path: Path) -> None:
    path = MANIFESTS / "components" / "monitor" / "monitor.yaml"
    params = load_monitor_params(path)
    assert yaml.safe_load(path.read_text()).keys() == {"monitor"}
    # Looks are minutes apart: what is damped must be longer than that, and within the window's age.
    minutes = 120.0
    assert params.cooldown_s > load_params(ROOT / "params.yaml").monitor.cooldown_s
    assert params.cooldown_s >= params.consecutive_windows * minutes
    assert params.max_age_s >= params.consecutive_windows * minutes
    assert params.min_requests <= params.window


def test_a_job_ends_also_when_its_image_is_not_there(objects: tuple[Manifest, ...]) -> None:
    # Its template cannot be changed: one that waits for ever would stop every later apply.
    for found in of_kind(objects, "Job", "CronJob"):
        spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
        assert 0 < spec["activeDeadlineSeconds"] <= 600, found["metadata"]["name"]


def test_two_monitors_never_overlap(cpu: tuple[Manifest, ...]) -> None:
    spec = named(cpu, "Deployment", "mome-monitor")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    lease = container(cpu, "mome-monitor/publish")["args"]
    assert named(cpu, "Lease", lease[lease.index("--lease") + 1])
