"""The scale reaches the service: by a file, or by the Kubernetes API, which a local server stands for."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mome.errors import MonitorError
from mome.records import ScaleDecision
from mome.scales import Scale
from monitoring import publish as publishing
from monitoring.publish import ConfigMap, File, publish, target
from serving.scale_source import ScaleSource
from tests.monitoring.cluster import PATH, TOKEN, Api, kubeconfig, running

pytest.importorskip("kubernetes", reason="the Kubernetes client comes with kfp")


def decision(scale: str) -> ScaleDecision:
    return ScaleDecision(
        at=datetime(2026, 11, 20, tzinfo=UTC),
        scale=scale,
        previous="a16v5",
        switched=True,
        snr_db=2.9,
        requests=20,
        reason="finer: planted",
    )


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with running(tmp_path) as (server, config):
        monkeypatch.setenv("KUBECONFIG", config)
        yield server


@contextmanager
def mounted(folder: Path) -> Iterator[Any]:
    """Stand for the kubelet: each version in a folder of its own, behind a link that is renamed."""
    folder.mkdir()
    versions = iter(range(1000))

    def sync(data: dict[str, str]) -> None:
        version = folder / f"..version{next(versions)}"
        version.mkdir()
        for name, text in data.items():
            (version / name).write_text(text)
        fresh = folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.rename(folder / "..data")
        for name in data:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        for link in folder.iterdir():
            if link.is_symlink() and not link.name.startswith("..") and link.name not in data:
                link.unlink()

    yield sync


def test_a_config_map_gets_the_decision_and_keeps_its_other_keys(api: Api) -> None:
    ConfigMap("mome-scale").publish(decision("a4v2"))

    data = api.config_maps[PATH]["data"]
    assert ScaleDecision.model_validate_json(data["scale.json"]) == decision("a4v2")
    assert data["other"] == "kept"
    # One request of one verb: all that the monitor's role allows.
    assert [(method, path.partition("?")[0]) for method, path, _ in api.seen] == [("PATCH", PATH)]
    assert "fieldManager=mome-monitor" in api.seen[0][1]


def test_a_switch_goes_through_the_config_map_into_the_mounted_folder_of_a_running_service(
    api: Api, tmp_path: Path
) -> None:
    scales = [Scale.parse(name) for name in ("a4v2", "a16v5")]
    with mounted(tmp_path / "scale") as sync:
        source = ScaleSource(tmp_path / "scale" / publishing.KEY, default=scales[1], available=scales)
        served = []
        for name in (None, "a4v2", "a4v2", "a16v5"):
            if name is not None:
                ConfigMap("mome-scale").publish(decision(name))
            sync(api.config_maps[PATH]["data"])
            served.append((str(source.current().scale), source.current().source))
        sync({})  # the key is deleted: back to the bundle's own scale
        served.append((str(source.current().scale), source.current().source))

    assert served == [
        ("a16v5", "bundle"),
        ("a4v2", "scale file"),
        ("a4v2", "scale file"),
        ("a16v5", "scale file"),
        ("a16v5", "bundle"),
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "token was refused"), (403, "may not patch"), (404, "does not exist"), (503, "answered 503")],
)
def test_a_refusal_says_what_is_missing_and_is_not_repeated(api: Api, status: int, said: str) -> None:
    api.refusal = status
    with pytest.raises(MonitorError, match=said) as raised:
        ConfigMap("mome-scale").publish(decision("a4v2"))
    assert "speech/mome-scale" in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert len(api.seen) == 1
    named = re.findall(r"manifests/[\w/.]+\.yaml", str(raised.value))
    assert all((Path(__file__).parents[2] / path).is_file() for path in named)
    assert bool(named) == (status in (403, 404))


def test_an_api_that_hangs_up_or_is_not_there_is_an_error_of_one_line(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.refusal = 0
    with pytest.raises(MonitorError, match="did not answer"):
        ConfigMap("mome-scale").publish(decision("a4v2"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KUBECONFIG", kubeconfig(closed.getsockname()[1], tmp_path))
        with pytest.raises(MonitorError, match="NetworkPolicy"):
            ConfigMap("mome-scale").publish(decision("a4v2"))


def test_an_api_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(publishing, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(silent.getsockname()[1], tmp_path))
        with pytest.raises(MonitorError, match=r"within 0\.3 s"):
            ConfigMap("mome-scale").publish(decision("a4v2"))


def test_without_a_cluster_the_error_says_what_gives_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(MonitorError, match="service account token"):
        ConfigMap("mome-scale").publish(decision("a4v2"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    place = target(str(tmp_path / "shared" / "scale.json"))
    assert isinstance(place, File)
    place.publish(decision("a4v2"))
    place.publish(decision("a16v5"))
    assert ScaleDecision.read(tmp_path / "shared" / "scale.json") == decision("a16v5")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["scale.json"]


def test_nothing_is_published_from_a_broken_state(tmp_path: Path, api: Api) -> None:
    (tmp_path / "scale.json").write_text('{"scale": "a4v2"')
    for path in (tmp_path / "scale.json", tmp_path / "missing.json"):
        with pytest.raises(MonitorError, match="nothing to publish"):
            publish(path, ConfigMap("mome-scale"))
    assert api.seen == []


def test_without_an_address_the_monitors_own_file_is_what_the_service_reads(tmp_path: Path) -> None:
    decision("a4v2").write(tmp_path / "scale.json")
    before = (tmp_path / "scale.json").stat()
    assert publish(tmp_path / "scale.json", target("")) == decision("a4v2")
    assert (tmp_path / "scale.json").stat() == before


def test_a_config_map_needs_a_name() -> None:
    with pytest.raises(MonitorError, match="configmap/NAME"):
        target("configmap/")


def test_the_command_publishes_and_says_so(api: Api, tmp_path: Path) -> None:
    decision("a4v2").write(tmp_path / "scale.json")
    command = [sys.executable, "-m", "monitoring.publish", str(tmp_path / "scale.json")]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[2]
        return subprocess.run(
            [*command, *more], cwd=root, env=os.environ, capture_output=True, text=True, timeout=60
        )

    done = run("configmap/mome-scale")
    assert (done.returncode, done.stdout) == (0, "published a4v2 to configmap/mome-scale\n"), done.stderr
    refused = run("configmap/mome-scale", "--namespace", "elsewhere")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: configmap elsewhere/mome-scale: it does not exist (404)")
