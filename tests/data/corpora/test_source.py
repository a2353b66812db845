"""The reader is chosen by what a folder holds."""

from pathlib import Path

import pytest

from data.corpora import open_corpus
from mome.errors import CorpusError

CORPORA = Path("../shared/corpora")


def test_a_manifest_goes_before_a_known_layout(tmp_path, make_corpus, prepare_params):
    make_corpus(tmp_path)
    (tmp_path / "bbaf2n.mpg").write_bytes(b"")
    assert {u.speaker for u in open_corpus(str(tmp_path), prepare_params).utterances} == {
        "ann",
        "bob",
        "cleo",
    }


def test_a_folder_with_nothing_known_says_what_was_looked_for(tmp_path, prepare_params):
    (tmp_path / "speech.wav").write_bytes(b"")
    with pytest.raises(
        CorpusError,
        match=r"manifest\.csv or manifest\.jsonl .*labels/\*\.csv.* GRID .* single spoken digits",
    ):
        open_corpus(str(tmp_path), prepare_params)


@pytest.mark.parametrize("corpus", ["", "no/such/folder", "Embedded"])
def test_a_folder_that_is_not_there_is_refused(corpus, prepare_params):
    with pytest.raises(CorpusError, match=r"no such folder|no corpus found"):
        open_corpus(corpus or "empty", prepare_params)


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the shared recordings are not on this machine")
def test_the_shared_recordings_are_known(prepare_params):
    digits = open_corpus(str(CORPORA / "fsdd"), prepare_params)
    assert (digits.name, len(digits.utterances)) == ("fsdd", 11)
    assert not any(media.problem for media in digits.media())
    grid = open_corpus(str(CORPORA / "grid"), prepare_params)
    # The folder grows; these were there first.
    known = {"bin blue at f two now", "lay white by s zero again", "set white in z three now"}
    assert known <= {u.transcript for u in grid.utterances}
