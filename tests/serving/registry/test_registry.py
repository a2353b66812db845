"""Versions, stages, promotion and the way back, the same in a folder and in a bucket."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mome.bundle import read_bundle
from mome.errors import BundleError, GateRejected, ServiceError
from mome.records import GateDecision
from mome.registry.history import Lineage, Version, lineage_file
from serving.registry.address import open_registry
from serving.registry.registry import Registry
from serving.registry.store import FolderStore
from tests.serving.registry.planted import HERE, bundle, log_of, python, rewrite

LINEAGE = Lineage(code="c0ffee", run="run-7", image="mome-train@sha256:abc")


def register(registry: Registry, path: Path) -> str:
    return registry.register(path, "digits", LINEAGE, by="test").version


def promote(registry: Registry, path: Path) -> str:
    return registry.promote("digits", register(registry, path), by="test").version


def champion(registry: Registry) -> str | None:
    found = registry.champion("digits")
    return None if found is None else found.version


def stages(registry: Registry) -> list[str]:
    history = registry.history("digits")
    return [history.stage(version) for version in history.versions]


class Store:
    """The registered files, by the storage's own means."""

    def __init__(self, address: str) -> None:
        self.s3 = address.startswith("s3://")
        self.root = address.removeprefix("s3://")

    def path(self, version: Version, name: str = "") -> str:
        return f"{self.root}/models/{version.corpus}/bundles/{version.place}/{name}".rstrip("/")

    def write(self, version: Version, name: str, content: bytes) -> None:
        if self.s3:
            self.fs().pipe_file(self.path(version, name), content)
        else:
            Path(self.path(version, name)).write_bytes(content)

    def remove(self, version: Version, name: str) -> None:
        if self.s3:
            self.fs().rm_file(self.path(version, name))
        else:
            Path(self.path(version, name)).unlink()

    def exists(self, version: Version) -> bool:
        return bool(self.fs().find(self.path(version))) if self.s3 else Path(self.path(version)).exists()

    @staticmethod
    def fs():
        import s3fs

        return s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)


def test_a_version_keeps_its_lineage_and_becomes_the_champion(address: str, tmp_path: Path) -> None:
    registry = open_registry(address)
    path = bundle(tmp_path / "one", "1", errors=7)
    assert registry.champion("digits") is None

    version = registry.register(path, "digits", LINEAGE, by="test")
    assert (registry.champion("digits"), stages(registry)) == (None, ["candidate"])
    assert version.version == read_bundle(path).version
    assert (version.revision, version.lineage, version.figures) == (
        "0" * 40,
        LINEAGE,
        {"wer_a4v2_clean": 0.07},
    )

    registry.promote("digits", version.version, by="test")
    # Another process, which knows the address alone.
    assert open_registry(address).champion("digits") == version
    assert open_registry(address).models() == ["digits"]
    assert [entry["event"] for entry in log_of(address)] == ["registered", "promoted"]


def test_the_champion_before_is_archived(address: str, tmp_path: Path) -> None:
    registry = open_registry(address)
    for number in range(3):
        promote(registry, bundle(tmp_path / str(number), str(number)))
    assert stages(registry) == ["archived", "archived", "champion"]


def test_registering_and_promoting_again_changes_nothing(address: str, tmp_path: Path) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "one", "1")
    promote(registry, path)
    before = log_of(address)
    promote(registry, path)
    assert log_of(address) == before


def test_the_way_back_goes_from_champion_to_champion(address: str, tmp_path: Path) -> None:
    registry = open_registry(address)
    first, second, third = (promote(registry, bundle(tmp_path / c, c)) for c in "abc")
    candidate = register(registry, bundle(tmp_path / "d", "d"))

    assert registry.rollback("digits", by="test", reason="slow").version == second
    assert registry.rollback("digits", by="test", reason="worse").version == first
    assert stages(registry) == ["champion", "archived", "archived", "candidate"]
    with pytest.raises(BundleError, match="no earlier champion to go back to"):
        registry.rollback("digits", by="test", reason="more")
    with pytest.raises(BundleError, match=r"not on the way back .*promote it"):
        registry.rollback("digits", to=candidate, by="test", reason="more")
    # A version that was left and is promoted again is then on the line again.
    registry.promote("digits", third, by="test", again=True)
    assert registry.rollback("digits", to=first, by="test", reason="back").version == first
    last = log_of(address)[-1]
    assert (last["event"], last["version"], last["replaced"], last["reason"]) == (
        "rolled back",
        first,
        third,
        "back",
    )


def test_a_version_that_somebody_went_back_from_does_not_return_with_the_next_run(
    address: str, tmp_path: Path
) -> None:
    registry = open_registry(address)
    good, passed_over, bad = (
        promote(registry, bundle(tmp_path / name, name, errors=errors))
        for name, errors in (("good", 4), ("passed over", 3), ("bad", 2))
    )
    registry.rollback("digits", to=good, by="anna", reason="garbage in production")
    # The next run makes the very same bundle, and so does one after its files were removed.
    for _ in range(2):
        for version, name in ((bad, "bad"), (passed_over, "passed over")):
            register(registry, tmp_path / name / "bundle")
            with pytest.raises(
                GateRejected, match=r"anna went back from it on .*: garbage in production; .*"
            ):
                registry.promote("digits", version, by="run 3")
        registry.prune("digits", keep=0, by="test")
    assert registry.champion("digits").version == good
    # Another model of the same corpus is nobody's concern.
    better = promote(registry, bundle(tmp_path / "better", "better", errors=1))
    assert registry.champion("digits").version == better

    register(registry, tmp_path / "bad" / "bundle")
    registry.rollback("digits", by="anna", reason="slow")
    registry.promote("digits", bad, by="anna", reason="the microphone was broken", again=True)
    assert registry.champion("digits").version == bad
    assert log_of(address)[-1]["reason"] == "the microphone was broken"
    # From now on it is a champion like any other.
    registry.rollback("digits", by="test", reason="x")
    registry.promote("digits", bad, by="test", again=True)
    registry.promote("digits", bad, by="test")


def test_what_failed_the_gate_is_registered_but_never_promoted(address: str, tmp_path: Path) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "one", "1")
    rejected = GateDecision(passed=False, reason="a4v2 is over budget", checks=[], max_wer={"a4v2": 0.5})
    version = rewrite(path, "gate.json", rejected.model_dump_json())
    assert register(registry, path) == version

    with pytest.raises(
        GateRejected, match=f"{version} cannot be promoted: its gate did not pass: a4v2 is over"
    ):
        registry.promote("digits", version, by="test")
    assert stages(registry) == ["candidate"]


def test_a_decision_that_contradicts_its_own_table_does_not_count(address: str, tmp_path: Path) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "one", "1", errors=9)
    claimed = GateDecision(passed=True, reason="fine", checks=[], max_wer={"a4v2": 0.05})
    rewrite(path, "gate.json", claimed.model_dump_json())
    with pytest.raises(GateRejected, match=r"budget of a4v2: 9\.0% of words wrong on clean speech, 5\.0%"):
        promote(registry, path)


def test_a_model_is_compared_with_the_champion_that_it_would_replace(address: str, tmp_path: Path) -> None:
    # Its gate passed before the better one was promoted.
    registry = open_registry(address)
    late = register(registry, bundle(tmp_path / "late", "late", errors=20))
    best = promote(registry, bundle(tmp_path / "best", "best", errors=2))
    with pytest.raises(
        GateRejected, match=f"asked against the champion {best}, the gate says: champion at a4v2"
    ):
        registry.promote("digits", late, by="test")
    assert champion(registry) == best
    assert registry.fetch_evaluation("digits", tmp_path / "fetched") == tmp_path / "fetched"
    fetched = (tmp_path / "fetched" / "evaluation.json").read_bytes()
    assert fetched == (tmp_path / "best" / "evaluation.json").read_bytes()


def test_a_pulled_version_is_what_was_registered(address: str, tmp_path: Path) -> None:
    registry = open_registry(address)
    first = promote(registry, bundle(tmp_path / "one", "1"))
    promote(registry, bundle(tmp_path / "two", "2"))

    pulled = registry.pull("digits", tmp_path / "pulled")
    assert read_bundle(tmp_path / "pulled").version == champion(registry) == pulled.version
    assert Version.read(lineage_file(tmp_path / "pulled")).lineage == LINEAGE
    registry.pull("digits", tmp_path / "pulled", first)  # an older one takes its place
    assert (tmp_path / "pulled" / "checkpoint" / "model.safetensors").read_text() == "checkpoint 1"

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear").touch()
    with pytest.raises(ServiceError, match="holds something else than a bundle"):
        registry.pull("digits", tmp_path / "letters")


@pytest.mark.parametrize(
    ("address", "damage"),
    [*(("folder", damage) for damage in ("weights", "manifest", "all sums", "missing")), ("s3", "weights")],
    indirect=["address"],
)
def test_a_version_that_was_changed_is_refused(address: str, tmp_path: Path, damage: str) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "one", "1")
    first = promote(registry, path)
    promote(registry, bundle(tmp_path / "two", "2"))
    version, store = registry.history("digits").versions[first], Store(address)
    if damage == "missing":
        store.remove(version, "checkpoint/model.safetensors")
    else:
        if damage != "manifest":
            store.write(version, "checkpoint/model.safetensors", b"checkpoint !")
        if damage != "weights":
            rewrite(path, "checkpoint/model.safetensors", "checkpoint !")
            store.write(version, "bundle.json", (path / "bundle.json").read_bytes())
    said = {"weights": "was changed", "missing": "missing|no \\*.safetensors"}.get(
        damage, "bundle.json: was changed after it was registered"
    )
    with pytest.raises(BundleError, match=said):
        registry.pull("digits", tmp_path / "pulled", first)
    assert not (tmp_path / "pulled").exists()
    if damage != "weights":  # sums of large files are compared by whoever pulls
        with pytest.raises(BundleError, match=r"missing|was changed after"):
            registry.rollback("digits", by="test", reason="damaged")
    # A good copy takes the place of the damaged files; the stage stays.
    registry.register(bundle(tmp_path / "good", "1"), "digits", LINEAGE, by="test", again=True)
    assert stages(registry) == ["archived", "champion"]
    registry.pull("digits", tmp_path / "pulled", first)
    registry.prune("digits", keep=1, by="test")
    assert not store.exists(version)


def test_a_damaged_bundle_or_one_of_another_corpus_is_not_registered(address: str, tmp_path: Path) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "one", "1", corpus="grid")
    with pytest.raises(BundleError, match="evaluated on 'grid', not on 'digits'"):
        register(registry, path)
    (path / "checkpoint" / "model.safetensors").write_text("changed")
    with pytest.raises(BundleError, match="was changed"):
        registry.register(path, "grid", LINEAGE, by="test")
    assert registry.models() == []


def test_old_versions_give_their_room_back(address: str, tmp_path: Path) -> None:
    registry, store = open_registry(address), Store(address)
    versions = [promote(registry, bundle(tmp_path / c, c)) for c in "abcd"]
    candidates = [register(registry, bundle(tmp_path / c, c)) for c in "ef"]

    removed = registry.prune("digits", keep=1, by="test")
    assert sorted(removed) == sorted([*versions[:2], candidates[0]])
    history = registry.history("digits")
    assert {v: store.exists(history.versions[v]) for v in history.versions} == {
        v: v not in removed for v in history.versions
    }
    assert stages(registry) == ["removed", "removed", "archived", "champion", "removed", "candidate"]
    with pytest.raises(BundleError, match=f"the files of {versions[0]} were removed"):
        registry.rollback("digits", to=versions[0], by="test", reason="too late")
    assert registry.prune("digits", keep=1, by="test") == []
    # The same content again is a new upload.
    assert register(registry, tmp_path / "a" / "bundle") == versions[0]
    assert stages(registry)[0] == "archived"
    registry.pull("digits", tmp_path / "again", versions[0])


def test_a_version_that_is_served_starts_on_after_its_files_were_removed(
    address: str, tmp_path: Path
) -> None:
    # Pods of the served version come and go while others are promoted and the registry is pruned.
    registry, served = open_registry(address), tmp_path / "served"
    first = promote(registry, bundle(tmp_path / "a", "a"))
    registry.pull("digits", served, first)
    promote(registry, bundle(tmp_path / "b", "b"))
    assert registry.prune("digits", keep=0, by="test") == [first]

    assert registry.pull("digits", served, first).version == first
    assert read_bundle(served).version == first
    with pytest.raises(BundleError, match=f"the files of {first} were removed; register it again"):
        registry.pull("digits", tmp_path / "elsewhere", first)
    # A copy that was changed is none, and there is nothing left to mend it from.
    (served / "checkpoint" / "model.safetensors").write_text("checkpoint !")
    with pytest.raises(BundleError, match="were removed"):
        registry.pull("digits", served, first)


def test_promotions_at_the_same_time_are_all_kept_one_after_the_other(address: str, tmp_path: Path) -> None:
    racers = 4
    for number in range(racers):
        bundle(tmp_path / f"racer{number}", str(number))
    processes = []
    for number in range(racers):
        folders = [str(tmp_path / name) for name in (f"racer{number}/bundle", f"ready{number}", "go")]
        processes.append(python(str(HERE / "racer.py"), address, *folders))
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready*"))) < racers:
        assert time.monotonic() < deadline
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes if p.poll()]
        time.sleep(0.01)
    (tmp_path / "go").touch()
    ends = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert all(code == 0 for _, code in ends), ends

    promotions = [entry for entry in log_of(address) if entry["event"] == "promoted"]
    assert {entry["version"] for entry in promotions} == {
        json.loads((tmp_path / f"racer{n}" / "bundle" / "bundle.json").read_text())["version"]
        for n in range(racers)
    }
    # Each replaced the one before it: none was decided on a champion that had gone.
    chain = [None, *(entry["version"] for entry in promotions)]
    assert [entry["replaced"] for entry in promotions] == chain[:-1]
    assert champion(open_registry(address)) == chain[-1]


def test_a_writer_that_got_no_answer_finds_its_own_entry(tmp_path: Path) -> None:
    # The first attempt was written, its answer was lost, and the next one finds that the name exists.
    class Forgetful(FolderStore):
        def create(self, name: str, content: bytes) -> bool:
            super().create(name, content)
            return False

    registry = Registry(Forgetful(tmp_path / "registry"))
    version = promote(registry, bundle(tmp_path / "one", "1"))
    assert champion(registry) == version
    assert [entry["event"] for entry in log_of(str(tmp_path / "registry"))] == ["registered", "promoted"]


def killed(address: str, path: Path, moment: str, ready: Path) -> None:
    """Register in another process, and kill that in the middle."""
    process = python(str(HERE / "interrupted.py"), address, str(path), moment, str(ready))
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()


def test_a_killed_upload_leaves_nothing_that_counts(address: str, tmp_path: Path) -> None:
    registry, path = open_registry(address), bundle(tmp_path / "two", "2")
    first = promote(registry, bundle(tmp_path / "one", "1"))
    killed(address, path, "upload", tmp_path / "ready")

    assert list(registry.history("digits").versions) == [first]
    with pytest.raises(BundleError, match=r"no version .* is registered"):
        registry.promote("digits", read_bundle(path).version, by="test")
    assert promote(registry, path) == read_bundle(path).version
    registry.pull("digits", tmp_path / "pulled")


def test_an_entry_that_was_not_finished_is_none(tmp_path: Path) -> None:
    # In a folder; S3 itself writes an object whole or not at all.
    address, path = str(tmp_path / "registry"), bundle(tmp_path / "two", "2")
    registry = open_registry(address)
    first = promote(registry, bundle(tmp_path / "one", "1"))
    killed(address, path, "entry", tmp_path / "ready")

    assert list(registry.history("digits").versions) == [first]
    assert promote(registry, path) == read_bundle(path).version


def test_an_upload_that_was_broken_off_is_cleared_away_after_a_day(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    promote(registry, bundle(tmp_path / "one", "1"))
    uploads = tmp_path / "registry" / "models" / "digits" / "bundles"
    old, new = (uploads / f"0123456789ab.{day}T000000.01234567" for day in ("20200101", "29990101"))
    for folder in (old, new, uploads / "notes"):
        folder.mkdir()
    registry.prune("digits", keep=1, by="test")
    assert (old.exists(), new.exists(), (uploads / "notes").exists()) == (False, True, True)


@pytest.mark.parametrize("corpus", ["", "..", "../elsewhere", "a/b", "a b"])
def test_a_corpus_that_cannot_name_a_folder_is_refused(tmp_path: Path, corpus: str) -> None:
    with pytest.raises(BundleError, match="cannot name a folder"):
        open_registry(str(tmp_path)).champion(corpus)


def test_a_fact_about_a_version_that_later_code_adds_stops_no_earlier_image(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    version = promote(registry, bundle(tmp_path / "a", "a"))
    entry = tmp_path / "registry" / "models" / "digits" / "log" / "00000001.json"
    content = json.loads(entry.read_text())
    content["registered"]["lineage"]["approved_by"] = "ethics board"
    del content["registered"]["lineage"]["serve_image"]  # and as it was before this one was added
    entry.write_text(json.dumps(content))
    assert registry.pull("digits", tmp_path / "served", version).lineage == LINEAGE


def test_a_log_that_lost_an_entry_or_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    for content in "ab":
        promote(registry, bundle(tmp_path / content, content))
    log = tmp_path / "registry" / "models" / "digits" / "log"
    first = json.loads((log / "00000001.json").read_text())
    first["registered"]["place"] = "../../../../elsewhere"
    (log / "00000001.json").write_text(json.dumps(first))
    with pytest.raises(BundleError, match=r"00000001\.json: not an entry"):
        registry.history("digits")
    for text, said in (("", "Invalid JSON: EOF"), ("{}", "entry_id: Field required; at: Field required")):
        (log / "00000001.json").write_text(text)
        with pytest.raises(
            BundleError, match=f"not an entry: {said}.*restore the file from a backup"
        ) as damaged:
            registry.history("digits")
        assert "http" not in str(damaged.value)
    (log / "00000001.json").unlink()
    with pytest.raises(BundleError, match=r"entries are missing: there are 00000002\.json"):
        registry.champion("digits")
