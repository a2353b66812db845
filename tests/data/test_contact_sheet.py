"""The contact sheet shows what was cut out, the doubtful first, and what was measured."""

import base64
import re

import cv2
import numpy as np
import pandas as pd

from data.contact_sheet import SHOWN, chosen, contact_sheet
from data.probe import read_frame
from mome.speech.media import Clip
from mome.speech.shards import write_manifest, write_shard
from tests.planted import utterance

SOUND = np.zeros(16_000, np.float32)
CLIP = Clip(SOUND, np.full((25, 96, 96), 90, np.uint8))


def frame(rows):
    return pd.DataFrame([row.model_dump() for row in rows])


def test_half_of_the_sheet_is_for_the_least_sure():
    rows = [
        utterance(f"u{i}", "train", CLIP, sync_confidence=i / 100, sync_offset_frames=0) for i in range(100)
    ]
    names = list(chosen(frame(rows[::-1]))["utterance_id"])
    assert names[: SHOWN // 2] == [f"u{i}" for i in range(SHOWN // 2)]
    assert len(set(names)) == SHOWN
    assert {"u99", "u12"} <= set(names)


def test_what_has_no_picture_is_not_shown():
    rows = [
        utterance("sound", "train", Clip(SOUND, None)),
        utterance("lost", "train", CLIP, decodable=False),
        utterance("unmeasured", "train", CLIP),
    ]
    assert list(chosen(frame(rows))["utterance_id"]) == ["unmeasured"]
    assert chosen(frame(rows[:2])).empty


def test_each_mouth_stands_over_its_own_figures(tmp_path):
    (tmp_path / "shards").mkdir()
    mouths = {"dark": 20, "light": 220, "<b>": 120}
    rows = []
    for split, name in (("train", "dark"), ("test", "light"), ("test", "<b>")):
        clip = Clip(SOUND, np.full((25, 96, 96), mouths[name], np.uint8))
        figures = {} if name == "<b>" else {"sync_offset_frames": -2, "sync_confidence": mouths[name] / 1000}
        rows.append(utterance(name, split, clip, **figures))
    clips = [(row, Clip(SOUND, np.full((25, 96, 96), mouths[row.utterance_id], np.uint8))) for row in rows]
    write_shard(tmp_path / "shards" / "train-00000.tar", clips[:1])
    write_shard(tmp_path / "shards" / "test-00000.tar", clips[1:])
    write_manifest(tmp_path, rows)
    page = contact_sheet(tmp_path, read_frame(tmp_path))
    cells = re.findall(r'base64,([^"]+)".*?<figcaption>(.*?)<br>(.*?)</figcaption>', page)
    assert [cell[1] for cell in cells] == ["dark", "light", "&lt;b&gt;"]
    assert cells[0][2] == "-2 frames, confidence 0.02"
    assert "not measured" in cells[2][2]
    for content, name, _ in cells[:2]:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (64, 256)
        assert abs(float(picture.mean()) - mouths[name]) < 5
