"""A manifest is read, or refused with the reason."""

import json

import pytest

from data.corpora.manifest import find_manifest, read_manifest_corpus
from mome.errors import CorpusError


def test_a_csv_manifest_gives_its_rows_in_order(tmp_path, make_corpus):
    rows = make_corpus(tmp_path / "Mine!")
    corpus = read_manifest_corpus(find_manifest(tmp_path / "Mine!"))
    assert corpus.name == "mine"
    assert not corpus.speaker_disjoint
    assert [(u.utterance_id, u.split, u.speaker) for u in corpus.utterances] == [
        (row["path"].replace("/", "-").removesuffix(".wav"), row["split"], row["speaker"]) for row in rows
    ]
    for row, media in zip(rows, corpus.media(), strict=True):
        assert media.audio.content == (tmp_path / "Mine!" / row["path"]).read_bytes()
        assert media.video is None


def test_json_lines_say_the_same_as_csv(tmp_path, make_corpus):
    rows = make_corpus(tmp_path)
    from_csv = read_manifest_corpus(tmp_path / "manifest.csv")
    lines = tmp_path / "manifest.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert read_manifest_corpus(lines).utterances == from_csv.utterances


def test_corpus_json_gives_the_name_and_the_promise(tmp_path, make_corpus):
    make_corpus(tmp_path)
    (tmp_path / "corpus.json").write_text('{"name": "Kitchen Talk", "speaker_disjoint": true}')
    corpus = read_manifest_corpus(tmp_path / "manifest.csv")
    assert (corpus.name, corpus.speaker_disjoint) == ("kitchen-talk", True)


@pytest.mark.parametrize("content", ["[]", "{", '{"name": "x", "speakers_disjoint": true}', '{"name": 3}'])
def test_a_wrong_corpus_json_is_refused(tmp_path, make_corpus, content):
    make_corpus(tmp_path)
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(CorpusError, match=r"corpus\.json: expected .*speaker_disjoint"):
        read_manifest_corpus(tmp_path / "manifest.csv")


def test_a_video_with_sound_is_one_file_and_separate_video_is_two(tmp_path, write_manifest):
    for name in ("a.mp4", "b.wav", "b.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    row = {"transcript": "x", "speaker": "s", "split": "train"}
    write_manifest(
        tmp_path, [{**row, "path": "a.mp4", "video": ""}, {**row, "path": "b.wav", "video": "b.mp4"}]
    )
    both, separate = read_manifest_corpus(tmp_path / "manifest.csv").media()
    assert both.audio is both.video
    assert (separate.audio.content, separate.video.content) == (b"b.wav", b"b.mp4")


def test_a_missing_file_is_a_problem_of_its_utterance(tmp_path, make_corpus):
    rows = make_corpus(tmp_path)
    (tmp_path / rows[1]["path"]).unlink()
    media = list(read_manifest_corpus(tmp_path / "manifest.csv").media())
    assert media[1].audio is None
    assert media[1].problem == "ann1.wav: no such file or directory"
    assert media[2].problem == ""


def test_the_key_follows_the_files(tmp_path, make_corpus):
    rows = make_corpus(tmp_path)
    manifest = tmp_path / "manifest.csv"
    before = read_manifest_corpus(manifest).key
    assert read_manifest_corpus(manifest).key == before
    with (tmp_path / rows[0]["path"]).open("ab") as file:
        file.write(b"\0\0")
    assert read_manifest_corpus(manifest).key != before


GOOD = {"path": "a.wav", "transcript": "hello", "speaker": "ann", "split": "train"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev"}, r"line 3: unknown split 'dev'; expected one of train, validation, test"),
        ({"split": ""}, r"line 3: unknown split ''"),
        ({"speaker": " "}, r"line 3: no speaker"),
        ({"path": ""}, r"line 3: no path"),
        ({"path": "../b.wav"}, r"line 3: path '\.\./b\.wav' leaves the corpus folder"),
        ({"path": "x/../../b.wav"}, r"leaves the corpus folder"),
        ({"path": "/etc/passwd"}, r"leaves the corpus folder"),
        ({"path": "C:\\b.wav"}, r"leaves the corpus folder"),
        ({"path": "..\\b.wav"}, r"leaves the corpus folder"),
        ({"path": "a.wav"}, r"1 utterance ids occur more than once: a; ids must be unique"),
        ({"path": "./a.flac"}, r"occur more than once: a"),
        ({"path": "_b.wav"}, r"id '_b' cannot be a file name"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(tmp_path, write_manifest, changes, message):
    manifest = write_manifest(tmp_path, [GOOD, {**GOOD, "path": "b.wav", **changes}])
    with pytest.raises(CorpusError, match=message):
        read_manifest_corpus(manifest)


def test_missing_columns_are_named_with_those_found(tmp_path, write_manifest):
    manifest = write_manifest(tmp_path, [{"path": "a.wav", "text": "hello", "speaker": "ann"}])
    with pytest.raises(CorpusError, match=r"missing columns transcript, split; found path, text, speaker"):
        read_manifest_corpus(manifest)
    lines = tmp_path / "manifest.jsonl"
    lines.write_text(json.dumps(GOOD) + "\n" + json.dumps({"path": "b.wav"}) + "\n")
    with pytest.raises(CorpusError, match=r"line 2: missing columns transcript, speaker, split; found path"):
        read_manifest_corpus(lines)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.csv", b"", "missing columns .*; found none"),
        ("manifest.csv", b"path,transcript,speaker,split\n", "empty; expected one line per recording"),
        ("manifest.csv", b"path,transcript,speaker,split\n\xff\xfe", "not UTF-8"),
        ("manifest.csv", b'path,transcript,speaker,split\n"a', "not CSV"),
        ("manifest.jsonl", b"", "empty"),
        ("manifest.jsonl", b"{", "line 1: not JSON"),
        ("manifest.jsonl", b"[1]", "line 1: expected a JSON object, got list"),
        ("manifest.jsonl", b"\xff", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_manifest_corpus(tmp_path / name)
