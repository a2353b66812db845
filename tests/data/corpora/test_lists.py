"""Lists as people and programs write them: what ends a line, which encoding, which form of a letter."""

import json

import pytest

from data.corpora import open_corpus
from data.corpora.manifest import read_manifest_corpus
from mome.errors import CorpusError

ROW = {"path": "a.wav", "transcript": "über straßen", "speaker": "müller", "split": "train"}
HEAD = "path,speaker,split,transcript"
LINE = "a.wav,müller,train,über straßen"


def manifest(folder, content: str, encoding: str = "utf-8", name: str = "manifest.csv"):
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


def said(path) -> list[tuple[str, str]]:
    return [(u.speaker, u.transcript) for u in read_manifest_corpus(path).utterances]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_way_to_save_a_list_says_the_same(tmp_path, encoding, newline):
    csv = manifest(tmp_path, newline.join([HEAD, LINE, ""]), encoding)
    lines = manifest(tmp_path, json.dumps(ROW, ensure_ascii=False) + newline, encoding, name="manifest.jsonl")
    assert said(csv) == said(lines) == [("müller", "über straßen")]


def test_utf_16_without_its_mark_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="UTF-16 with its byte order mark"):
        said(manifest(tmp_path, "path,transcript,speaker,split\n", "utf-16-le"))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_text_may_hold_what_only_some_take_for_the_end_of_a_line(tmp_path, separator):
    text = f"set white in{separator}z three now"
    row = {**ROW, "transcript": text}
    for ascii_only in (True, False):
        if not ascii_only and separator < " ":
            continue  # JSON forbids it unescaped
        content = json.dumps(row, ensure_ascii=ascii_only) + "\n"
        assert said(manifest(tmp_path, content, name="manifest.jsonl"))[0][1] == text


def test_a_text_with_a_comma_that_nobody_quoted_is_refused_not_cut(tmp_path):
    with pytest.raises(CorpusError, match=r"line 3: 5 fields, expected 4 .*quotes.* in z three"):
        said(manifest(tmp_path, f"{HEAD}\n{LINE}\nb.wav,anna,train,set white, in z three now\n"))
    quoted = manifest(tmp_path, f'{HEAD}\nb.wav,anna,train,"set white, in z"\n')
    assert said(quoted) == [("anna", "set white, in z")]
    assert said(manifest(tmp_path, f"{HEAD}\n{LINE},,\n")) == [("müller", "über straßen")]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="column transcript is there twice"):
        said(manifest(tmp_path, f"{HEAD},transcript\n{LINE},x\n"))


def test_letters_typed_on_a_mac_are_the_same_letters(tmp_path):
    apart = "b.wav,mu\u0308ller,test,u\u0308ber straßen"
    assert len(set(said(manifest(tmp_path, f"{HEAD}\n{LINE}\n{apart}\n")))) == 1


@pytest.mark.parametrize(("on_disk", "in_list"), [("u\u0308ben", "üben"), ("üben", "u\u0308ben")])
def test_a_file_is_found_whichever_form_its_name_has(tmp_path, on_disk, in_list):
    (tmp_path / f"{on_disk}.wav").write_bytes(b"sound")
    (media,) = read_manifest_corpus(manifest(tmp_path, f"{HEAD}\n{in_list}.wav,anna,train,x\n")).media()
    assert media.audio is not None
    assert media.audio.content == b"sound"


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_label_file_is_refused_at_once(tmp_path, prepare_params, content):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "lrs3_train_transcript_lengths_seg24s.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=r"lrs3_train\S+: empty, expected one row for each clip"):
        open_corpus(str(tmp_path), prepare_params)
