"""What is said of a revision: how it came to be, what it holds, and the line that brings it back."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from data import version
from data.archive import file_sums
from data.revision_report import describe
from tests.page_text import page_text

SECRET = "https://bob:s3cret@git.example.org/speech.git"


@pytest.fixture
def corpus(tmp_path, make_corpus):
    make_corpus(tmp_path / "talk")
    return tmp_path / "talk"


@pytest.fixture
def registry(tmp_path):
    return tmp_path / "registry"


def shown(asked, found, folder):
    describe(asked, found, folder / "page.html")
    return page_text(folder / "page.html")


def test_a_revision_is_new_once_and_unchanged_afterwards(corpus, registry, prepare_params, tmp_path):
    first = version.versioned(str(corpus), prepare_params, registry)
    assert first.origin == "new"
    assert "**new** the recordings were packed and stored" in shown(str(corpus), first, tmp_path)
    again = version.versioned(str(corpus), prepare_params, registry)
    assert again == (first.revision, "unchanged")
    assert "**unchanged** the recordings are those of an earlier run" in shown(str(corpus), again, tmp_path)


def test_content_that_was_packed_from_elsewhere_is_unchanged(corpus, registry, prepare_params, tmp_path):
    first = version.versioned(str(corpus), prepare_params, registry)
    (tmp_path / "copy").mkdir()
    corpus.rename(tmp_path / "copy" / "talk")
    for path in (tmp_path / "copy" / "talk" / "wavs").iterdir():
        path.touch()  # so that the recordings are read again
    assert version.versioned(str(tmp_path / "copy" / "talk"), prepare_params, registry) == (
        first.revision,
        "unchanged",
    )


def test_what_was_asked_for_stands_beside_the_commit_that_it_came_to(
    corpus, registry, prepare_params, tmp_path
):
    made = version.run(str(corpus), prepare_params, registry)
    found = version.versioned(f"{registry}@main", prepare_params, tmp_path / "other")
    said = shown(f"{registry}@main", found, tmp_path)
    assert f"- asked for: {registry}@main\n- commit: {made.revision}\n" in said
    assert "**as published** " in said
    # ann, bob and cleo have a split each; the corpus promises nothing.
    assert "- speakers: 3, none of them in more than one split\n" in said
    for row in ("| train | 3 | 1 | 0 |", "| validation | 1 | 1 | 0 |", "| test | 1 | 1 | 0 |"):
        assert row in said


def test_a_recording_without_a_file_is_counted(corpus, registry, prepare_params, tmp_path):
    (corpus / "wavs" / "ann0.wav").unlink()
    found = version.versioned(str(corpus), prepare_params, registry)
    assert "| train | 3 | 1 | 1 |" in shown(str(corpus), found, tmp_path)


def test_the_line_on_the_page_brings_the_recordings_back(corpus, registry, prepare_params, tmp_path):
    found = version.versioned(str(corpus), prepare_params, registry)
    (line,) = [line for line in shown("talk", found, tmp_path).splitlines() if line.startswith("dvc get ")]
    there = tmp_path / "elsewhere"
    there.mkdir()
    subprocess.run([sys.executable, "-m", *shlex.split(line)], cwd=there, check=True, capture_output=True)
    (got,) = there.iterdir()
    assert got.name == f"talk-{found.revision.revision[:12]}"
    version.pull(found.revision.repo, found.revision.revision, tmp_path / "pulled")
    assert file_sums(got) == file_sums(tmp_path / "pulled")
    size = sum(path.stat().st_size for path in got.rglob("*") if path.is_file())
    assert f"{size / 1000:.1f} kB" in page_text(tmp_path / "page.html")


def test_a_password_of_an_address_is_on_no_page(corpus, registry, prepare_params, tmp_path, monkeypatch):
    made = version.run(str(corpus), prepare_params, registry)
    from dvc.api import DVCFileSystem

    monkeypatch.setattr("dvc.api.DVCFileSystem", lambda url, rev: DVCFileSystem(url=str(registry), rev=rev))
    found = version.versioned(f"{SECRET}@main", prepare_params, Path("/nowhere"))
    assert found == ((made.name, SECRET, made.revision), "published")
    said = shown(f"{SECRET}@main", found, tmp_path)
    assert "- asked for: https://git.example.org/speech.git@main" in said
    assert "dvc get https://git.example.org/speech.git corpus --rev" in said
    for secret in ("s3cret", "bob:"):
        assert secret not in (tmp_path / "page.html").read_text()
