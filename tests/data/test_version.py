"""A corpus gets a revision, keeps it while it stays the same, and comes back byte for byte."""

import errno
import hashlib
import json
import os
import subprocess
import time
import traceback
from pathlib import Path

import dvc.api
import pytest
from dvc.exceptions import DvcException
from dvc.scm import RevError
from dvc_objects.errors import ObjectFormatError

from data import version
from data.archive import file_sums, read_rows
from data.registry import Registry
from data.version import CorpusRevision, pull
from mome.errors import CorpusError, RevisionError


@pytest.fixture
def corpus(tmp_path, make_corpus):
    make_corpus(tmp_path / "talk")
    return tmp_path / "talk"


@pytest.fixture
def registry(tmp_path):
    return tmp_path / "registry"


def _stored(registry, place="storage"):
    root = registry / "storage" if place == "storage" else registry / ".dvc" / "cache"
    return [path for path in root.rglob("*") if path.is_file()]


def _damage(registry, revision, name):
    """Change one byte of a file in DVC's cache and storage; DVC names files by their MD5."""
    pulled = registry.parent / "healthy"
    pull(str(registry), revision, pulled)
    content = (pulled / name).read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    for place in ("storage", "cache"):
        for path in _stored(registry, place):
            if path.parent.name + path.name == md5:
                path.chmod(0o644)
                path.write_bytes(damaged)
    return hashlib.sha256(content).hexdigest(), hashlib.sha256(damaged).hexdigest()


def test_an_unchanged_corpus_keeps_its_revision_and_is_not_packed_again(
    corpus, registry, prepare_params, monkeypatch
):
    first = version.run(str(corpus), prepare_params, registry)
    assert (first.name, first.repo) == ("talk", str(registry))
    assert len(first.revision) == 40
    monkeypatch.setattr(version, "pack", lambda *_: pytest.fail("packed again"))
    started = time.monotonic()
    assert version.run(str(corpus), prepare_params, registry) == first
    assert time.monotonic() - started < 2


def test_the_same_content_from_elsewhere_has_the_same_revision(corpus, registry, prepare_params):
    first = version.run(str(corpus), prepare_params, registry)
    for path in corpus.rglob("*.wav"):
        os.utime(path, (1, 1))  # looks changed, is not
    assert version.run(str(corpus), prepare_params, registry) == first


def test_a_changed_corpus_gets_a_new_revision_and_the_old_one_stays(
    corpus, registry, prepare_params, tmp_path
):
    first = version.run(str(corpus), prepare_params, registry)
    pull(first.repo, first.revision, tmp_path / "first")
    with (corpus / "manifest.csv").open("a") as file:
        file.write("wavs/ann0.wav,again,ann,train\n".replace("ann0", "ann9"))
    second = version.run(str(corpus), prepare_params, registry)
    assert second.revision != first.revision
    pull(second.repo, second.revision, tmp_path / "second")
    assert len(read_rows(tmp_path / "second")) == len(read_rows(tmp_path / "first")) + 1
    pull(first.repo, first.revision, tmp_path / "again")
    assert file_sums(tmp_path / "again") == file_sums(tmp_path / "first")


def test_a_revision_comes_back_from_the_remote_when_the_cache_is_gone(
    corpus, registry, prepare_params, tmp_path
):
    found = version.run(str(corpus), prepare_params, registry)
    pull(found.repo, found.revision, tmp_path / "before")
    for path in _stored(registry, "cache"):
        path.unlink()
    pull(found.repo, found.revision, tmp_path / "after")
    assert file_sums(tmp_path / "after") == file_sums(tmp_path / "before")


@pytest.mark.parametrize("name", ["shards/train-00000.tar", "manifest.csv"])
def test_a_damaged_file_is_named_with_both_sums_and_nothing_is_left(
    corpus, registry, prepare_params, tmp_path, name
):
    found = version.run(str(corpus), prepare_params, registry)
    expected, damaged = _damage(registry, found.revision, name)
    with pytest.raises(RevisionError, match=f"{name} is damaged: sha256 {damaged}, expected {expected}"):
        pull(found.repo, found.revision, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert not list(tmp_path.glob(".pulled*"))


def test_a_damaged_file_list_is_one_clear_error(corpus, registry, prepare_params, tmp_path):
    found = version.run(str(corpus), prepare_params, registry)
    for place in ("storage", "cache"):
        for path in _stored(registry, place):
            if path.suffix == ".dir":
                path.chmod(0o644)
                path.write_bytes(b"[{")
    with pytest.raises(RevisionError, match="the list of stored files is missing or damaged"):
        pull(found.repo, found.revision, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_what_was_lost_from_the_storage_is_an_error_and_is_made_again(
    corpus, registry, prepare_params, tmp_path
):
    found = version.run(str(corpus), prepare_params, registry)
    for path in _stored(registry) + _stored(registry, "cache"):
        if path.suffix != ".dir":
            path.unlink()
    with pytest.raises(RevisionError, match="missing"):
        pull(found.repo, found.revision, tmp_path / "pulled")
    assert version.run(str(corpus), prepare_params, registry) == found
    pull(found.repo, found.revision, tmp_path / "pulled")


def test_an_unknown_revision_or_repository_is_refused(corpus, registry, prepare_params, tmp_path):
    version.run(str(corpus), prepare_params, registry)
    with pytest.raises(RevisionError, match="unknown revision '0123456789'"):
        pull(str(registry), "0123456789", tmp_path / "pulled")
    with pytest.raises(RevisionError, match="nowhere"):
        pull(str(tmp_path / "nowhere"), "0123456789", tmp_path / "pulled")


def test_the_address_of_a_repository_is_resolved_to_a_commit(corpus, registry, prepare_params, tmp_path):
    found = version.run(str(corpus), prepare_params, registry)
    untouched = tmp_path / "other"
    subprocess.run(["git", "branch", "team/new-speakers", found.revision], cwd=registry, check=True)
    for address in (
        f"{registry}",
        f"{registry}@team/new-speakers",
        f"{registry}@main",
        f"{registry}@{found.revision}",
        f"file://{registry}@main",
    ):
        resolved = version.run(address, prepare_params, untouched)
        assert (resolved.name, resolved.revision) == ("talk", found.revision)
    assert not untouched.exists()
    with pytest.raises(RevisionError, match="unknown revision 'v9'"):
        version.run(f"{registry}@v9", prepare_params, untouched)


def test_a_repository_with_something_else_is_refused(tmp_path, prepare_params):
    Registry(tmp_path / "empty")
    with pytest.raises(RevisionError, match=r"no corpus\.sha256; expected a DVC repository filled by"):
        version.run(str(tmp_path / "empty"), prepare_params, tmp_path / "other")


def test_a_registry_needs_a_folder_of_its_own(corpus, tmp_path, prepare_params):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    with pytest.raises(RevisionError, match="holds other files"):
        version.run(str(corpus), prepare_params, tmp_path / "used")
    assert (tmp_path / "used" / "thesis.txt").read_text() == "mine"


def test_a_registry_that_cannot_be_written_or_is_not_named_says_what_to_name(corpus, prepare_params):
    with pytest.raises(RevisionError, match=r"^/proc/\S+: user \d+ .* cannot write here .* mounted volume"):
        version.run(str(corpus), prepare_params, Path("/proc/registry/corpora"))
    assert version.corpora("/models/registry") == Path("/models/registry/corpora")
    for nothing in ("", " "):
        with pytest.raises(RevisionError, match="registry is empty: expected a folder on a shared volume"):
            version.corpora(nothing)


def test_a_registry_that_became_read_only_says_so_and_is_still_read(
    corpus, registry, prepare_params, monkeypatch
):
    found = version.run(str(corpus), prepare_params, registry)

    def read_only(**_where):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("data.registry.tempfile.TemporaryFile", read_only)
    assert version.run(str(corpus), prepare_params, registry) == found
    with (corpus / "manifest.csv").open("a") as file:
        file.write("wavs/ann9.wav,again,ann,train\n")
    with pytest.raises(RevisionError, match="cannot write here \\(Read-only file system\\)"):
        version.run(str(corpus), prepare_params, registry)


SECRET = "https://bob:s3cret@git.example.org/speech.git"


def _repeats_the_address(kind):
    def planted(url, rev):
        raise kind(f"no luck with {url} at {rev}")

    return planted


@pytest.mark.parametrize("kind", [FileNotFoundError, ObjectFormatError, DvcException, RevError])
def test_a_password_in_an_address_reaches_no_log(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("dvc.api.DVCFileSystem", _repeats_the_address(kind))
    with pytest.raises(RevisionError, match=r"https://git\.example\.org/speech\.git") as error:
        pull(SECRET, "0123456789", tmp_path / "pulled")
    # The whole of what a step prints, with the errors that this one came from.
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_password_is_left_out_of_what_was_found_in_a_repository_too(
    corpus, registry, prepare_params, tmp_path, monkeypatch
):
    found = version.run(str(corpus), prepare_params, registry)
    _damage(registry, found.revision, "manifest.csv")
    from dvc.api import DVCFileSystem

    monkeypatch.setattr("dvc.api.DVCFileSystem", lambda url, rev: DVCFileSystem(url=str(registry), rev=rev))
    with pytest.raises(RevisionError, match=r"^https://git\.example\.org/speech\.git .* is damaged"):
        pull(SECRET, found.revision, tmp_path / "pulled")
    with pytest.raises(RevisionError, match=r"^https://git\.example\.org/speech\.git: no corpus\.sha256"):
        version.run(f"{SECRET}@{_first_commit(registry)}", prepare_params, registry)


def _first_commit(registry):
    command = ["git", "rev-list", "--max-parents=0", "HEAD"]
    return subprocess.run(command, cwd=registry, capture_output=True, text=True, check=True).stdout.strip()


def test_the_git_settings_of_the_machine_play_no_part(
    corpus, registry, prepare_params, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "outer" / ".git"))
    found = version.run(str(corpus), prepare_params, registry)
    monkeypatch.delenv("GIT_DIR")
    author = subprocess.run(
        ["git", "log", "-1", "--format=%an"], cwd=found.repo, capture_output=True, text=True, check=True
    ).stdout
    assert author == "mome\n"
    assert not (tmp_path / "outer").exists()


def test_a_killed_run_leaves_nothing_that_counts(corpus, registry, prepare_params, monkeypatch, tmp_path):
    def dies(_corpus, folder, _size):
        (folder / "manifest.csv").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(version, "pack", dies)
        with pytest.raises(KeyboardInterrupt):
            version.run(str(corpus), prepare_params, registry)
    found = version.run(str(corpus), prepare_params, registry)
    pull(found.repo, found.revision, tmp_path / "pulled")
    assert len(read_rows(tmp_path / "pulled")) == 5


def test_a_corpus_that_cannot_be_read_leaves_no_registry(tmp_path, prepare_params):
    with pytest.raises(CorpusError, match="no such folder"):
        version.run("no/such/folder", prepare_params, tmp_path / "registry")
    assert not (tmp_path / "registry").exists()


def test_the_revision_file_is_read_back(tmp_path):
    path = tmp_path / "revision.json"
    path.write_text(json.dumps({"name": "a", "repo": "b", "revision": "c"}))
    assert CorpusRevision.read(path) == CorpusRevision("a", "b", "c")
    path.write_text("{}")
    with pytest.raises(RevisionError, match="expected a corpus revision"):
        CorpusRevision.read(path)


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [(ConnectionResetError("reset"), 3), (TimeoutError("slow"), 3), (OSError("no space left"), 1)],
    ids=str,
)
def test_a_connection_that_fails_is_tried_again_within_the_step(
    corpus, registry, prepare_params, tmp_path, monkeypatch, capsys, failure, attempts
):
    found = version.run(str(corpus), prepare_params, registry)
    opened, real = [], dvc.api.DVCFileSystem

    def failing(*arguments, **options):
        opened.append(arguments)
        if len(opened) < 3:
            raise DvcException("SCM error") from failure
        return real(*arguments, **options)

    monkeypatch.setattr(dvc.api, "DVCFileSystem", failing)
    monkeypatch.setattr(version, "WAITS_S", (0.0, 0.0))
    if attempts == 1:
        with pytest.raises(RevisionError, match="no space left"):
            pull(found.repo, found.revision, tmp_path / "pulled")
    else:
        pull(found.repo, found.revision, tmp_path / "pulled")
        assert capsys.readouterr().out.count("trying again in") == 2
    assert len(opened) == attempts
