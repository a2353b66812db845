"""Three lines of Python: from a bundle and a file to a text, with a planted model in between."""

import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mome
from mome import inference
from mome.bundle import write_bundle
from mome.errors import BundleError, ConfigError, MediaError, UnknownScaleError
from mome.reading import Listener, Reading, Text, Word
from mome.records import Decoding
from mome.scales import Scale
from mome.speech.video import encode_mouth
from tests.serving.planted import syllables, write_parts

EXAMPLE = Path(__file__).parents[2] / "examples" / "transcribe.py"


class Planted:
    scales = (Scale(4, 2), Scale(16, 5))
    max_duration_s = 12.0

    @classmethod
    def load(cls, foundation: Path, checkpoint: Path, decoding: Decoding, device: str) -> "Planted":
        assert (foundation / "config.json").is_file()
        assert (checkpoint / "config.json").is_file()
        return cls()

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        for (clip, scale, timed), listener in zip(readings, listeners, strict=True):
            text = f"{clip.modality} of {clip.duration_s:g} s at {scale}"
            words = (Word(clip.modality, 0.0, clip.duration_s, 0.5),) if timed else ()
            listener.ended(Text(text, cut=False, words=words))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inference, "Transcriber", Planted)
    parts = write_parts(tmp_path / "parts")
    write_bundle(name="m", default_scale=Scale(16, 5), output=tmp_path / "packaged" / "bundle", **parts)
    return tmp_path / "packaged"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).normal(scale=0.1, size=32000), 16000)
    return path


def test_a_clip_is_read_at_the_scale_that_is_served_or_asked_for(bundle: Path, clip: Path) -> None:
    model = mome.load(bundle)
    assert model.scales == ("a4v2", "a16v5")
    result = model.transcribe(clip)
    assert (result.text, result.scale, result.modality) == ("audio of 2 s at a16v5", "a16v5", "audio")
    assert result.words == (("audio", 0.0, 2.0, 0.5),)
    assert result.noise is not None
    assert model.transcribe(str(clip), scale="a4v2").text == "audio of 2 s at a4v2"
    assert mome.load(bundle / "bundle").scales == model.scales


def test_a_recording_of_any_length_is_read_in_pieces(bundle: Path, tmp_path: Path) -> None:
    sentence = np.concatenate([syllables(2.0), np.zeros(16_000, np.float32)])
    soundfile.write(tmp_path / "long.wav", np.resize(sentence, 16_000 * 100), 16_000)
    result = mome.load(bundle).transcribe(tmp_path / "long.wav")

    assert (result.duration_s, result.modality, result.scale) == (100.0, "audio", "a16v5")
    assert len(result.segments) > 8
    assert result.text == " ".join(segment.text for segment in result.segments)
    for segment in result.segments:
        assert segment.text == f"audio of {segment.end_s - segment.start_s:g} s at a16v5"
        assert segment.end_s - segment.start_s <= 12.0
    assert result.noise is not None


def test_a_mouth_beside_the_sound_is_read_too(bundle: Path, clip: Path, tmp_path: Path) -> None:
    mouth = tmp_path / "mouth.mp4"
    mouth.write_bytes(encode_mouth(np.full((50, 96, 96), 128, np.uint8)))
    model = mome.load(bundle)
    assert model.transcribe(clip, mouth).modality == "av"
    alone = model.transcribe(mouth)
    assert (alone.modality, alone.noise) == ("video", None)


@pytest.mark.parametrize("seconds", [2, 40], ids=["one clip", "in pieces"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_number_somewhere_is_refused_not_read_as_silence(
    value: float, seconds: int, bundle: Path, tmp_path: Path
) -> None:
    samples = np.resize(syllables(2.0), 16_000 * seconds)
    samples[-16_000] = value
    soundfile.write(tmp_path / "broken.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(MediaError, match="NaN or infinity"):
        mome.load(bundle).transcribe(tmp_path / "broken.wav")


def test_what_is_wrong_is_named(bundle: Path, clip: Path, tmp_path: Path) -> None:
    model = mome.load(bundle)
    with pytest.raises(UnknownScaleError, match="the model has a4v2, a16v5"):
        model.transcribe(clip, scale="a3v3")
    with pytest.raises(MediaError, match=r"gone\.wav: no such file"):
        model.transcribe(tmp_path / "gone.wav")
    with pytest.raises(BundleError):
        mome.load(tmp_path)
    with pytest.raises(BundleError, match="is no registry"):
        mome.load(bundle, version="5d0c4b7e91aa")
    with pytest.raises(ConfigError, match=r"expected a folder or s3://bucket/prefix"):
        mome.load("gs://models/registry")


def test_the_example_prints_the_text(
    bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["transcribe.py", str(bundle), str(clip), "a4v2"])
    runpy.run_path(str(EXAMPLE))
    assert capsys.readouterr().out == "audio of 2 s at a4v2\n0.00 to 2.00 s: audio (50%)\n"


def test_importing_mome_imports_nothing_heavy() -> None:
    code = "import sys, mome; print(sorted({'torch', 'av', 'numpy', 'cv2', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
