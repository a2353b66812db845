"""What stands around the routes, planted: the stages' outputs, a model, and sound to send."""

from __future__ import annotations

import io
import json
import math
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile
from prometheus_client import CollectorRegistry
from safetensors.numpy import save_file
from scipy.signal import lfilter
from starlette.testclient import TestClient

from mome.reading import Listener, Reading, Standing, Text, Token, Word
from mome.records import Decoding, Evaluation, GateDecision, Modality, ScaleDecision, WerCalibration
from mome.scales import Scale
from mome.speech.media import Clip
from serving.engine import Engine
from tests.planted import evaluation, table

SCALES = ("a4v2", "a16v5")
GREEDY = Decoding(num_beams=1, max_new_tokens="by_duration")


def write_parts(
    folder: Path,
    *,
    passed: bool = True,
    modality: Modality = "av",
    judged: Decoding | None = GREEDY,
    calibration: WerCalibration | None = None,
    evaluated: Evaluation | None = None,
) -> dict[str, Path]:
    """Write foundation, checkpoint, evaluation and gate; return their folders by the stage's name."""
    folders = {name: folder / name for name in ("foundation", "checkpoint", "evaluation", "gate")}
    for name, path in folders.items():
        path.mkdir(parents=True)
        if name in ("foundation", "checkpoint"):
            save_file({"weight": np.arange(4, dtype=np.float32)}, path / "model.safetensors")
            (path / "config.json").write_text("{}\n")
    modalities: list[Modality] = ["audio", "video", "av"] if modality == "av" else [modality]
    rates = table({scale: {"clean": 2} for scale in SCALES})
    evaluated = evaluated or evaluation(
        dict.fromkeys(modalities, rates), decoding=judged, calibration=calibration
    )
    evaluated.write(folders["evaluation"] / "evaluation.json")
    pd.DataFrame({"snr_db": [30.0], "condition": ["clean"]}).to_parquet(
        folders["evaluation"] / "baseline.parquet"
    )
    GateDecision(
        passed=passed,
        reason="within budget" if passed else "a16v5 is over budget",
        checks=["planted"],
        max_wer=dict.fromkeys(SCALES, 0.1),
    ).write(folders["gate"] / "gate.json")
    return folders


def plant_inference(source: Path) -> None:
    """Take the model out of a copy of the code, and put one in that answers as told."""
    inference = source / "mome" / "inference"
    shutil.rmtree(inference, ignore_errors=True)
    inference.mkdir()
    shutil.copyfile(Path(__file__).with_name("planted_inference.py"), inference / "__init__.py")


def publish(path: Path, scale: str, **changed: Any) -> None:
    """Write what monitoring writes."""
    ScaleDecision(
        at=datetime(2026, 11, 20, tzinfo=UTC),
        scale=scale,
        previous=None,
        switched=True,
        snr_db=0.0,
        requests=20,
        reason="planted",
        **changed,
    ).write(path)


def planted_text(words: Sequence[str], cut: bool = False, timed: bool = False) -> Text:
    """Return a text of one token a word, each with a probability of a half, and of half a second if timed."""
    half = math.log(0.5)
    tokens = tuple(Token(10 + n, f"{' ' if n else ''}{word}", half) for n, word in enumerate(words))
    spoken = tuple(Word(word, n / 2, n / 2 + 0.5, 0.5) for n, word in enumerate(words) if timed)
    return Text(" ".join(words), cut, tokens, None if cut else half, spoken)


@dataclass
class PlantedRecogniser:
    """Answers with what it was asked, and remembers it.

    A failure is raised for batches that hold ``fails_at`` (any, if None), after ``failure_after`` words.
    ``pause_s`` is the time that each word takes. ``cut`` is what it says of its texts.
    """

    scales: tuple[Scale, ...] = tuple(Scale.parse(text) for text in SCALES)
    max_duration_s: float = 30.0
    calls: list[tuple[Scale, Clip]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    failure: Exception | None = None
    failure_after: int = 0
    fails_at: Scale | None = None
    pause_s: float = 0.0
    mute: bool = False
    cut: bool = False
    running: int = 0
    most_running: int = 0
    left: int = 0
    timed: tuple[Modality, ...] = ("audio", "av", "video")
    decoding: Decoding = GREEDY
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def times(self, modality: Modality) -> bool:
        return modality in self.timed

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        self.calls += [(reading.scale, reading.clip) for reading in readings]
        self.batches.append(len(readings))
        self._count(1)
        try:
            self._read(readings, listeners)
        finally:
            self._count(-1)

    def _read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        fails = self.failure is not None and self.fails_at in (None, *(reading.scale for reading in readings))
        running = list(zip(readings, listeners, strict=True))
        for count in range(1, 4):
            if fails and count > self.failure_after:
                assert self.failure is not None
                raise self.failure
            time.sleep(self.pause_s)
            self.left += sum(listener.gone for _, listener in running)
            running = [(reading, listener) for reading, listener in running if not listener.gone]
            for (clip, scale, timed), listener in running:
                words = [] if self.mute else [clip.modality, "at", str(scale)]
                if count < 3 and listener.live:
                    standing = planted_text(words[:count])
                    listener.wrote(Standing(standing.text, standing.tokens))
                elif count == 3:
                    listener.ended(planted_text(words, self.cut, timed=timed))

    def _count(self, change: int) -> None:
        with self._lock:
            self.running += change
            self.most_running = max(self.most_running, self.running)


@dataclass
class Served:
    """A client of the routes, and what stands behind them."""

    client: TestClient
    engine: Engine
    recogniser: PlantedRecogniser
    registry: CollectorRegistry

    def post(self, content: bytes, **fields: str) -> httpx.Response:
        """Send one recording with text fields."""
        files = {"file": ("clip.wav", content)}
        return self.client.post("/audio/transcriptions", files=files, data=fields)


def events(body: str) -> list[dict[str, Any]]:
    """Return the contents of server-sent events, read as the HTML standard says."""
    blocks = body.split("\n\n")
    assert blocks.pop() == "", "an event was cut off"
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def wav(samples: npt.NDArray[np.float32], rate: int = 16_000) -> bytes:
    """Return samples as a WAV file of floats."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def syllables(seconds: float = 1.0) -> npt.NDArray[np.float32]:
    """Return bursts of a vowel of about 120 Hz, breathy, four a second: as loud and as quiet as speech is."""
    count = round(16_000 * seconds)
    at_s = np.arange(count) / 16_000
    envelope = np.sin(at_s * 4 * np.pi) ** 2
    breath = np.random.default_rng(3).normal(scale=0.02, size=count)
    turns = np.cumsum(120 * (1 + 0.08 * np.sin(2 * np.pi * 1.3 * at_s))) / 16_000
    voice = sum(np.sin(2 * np.pi * harmonic * turns) / harmonic for harmonic in range(1, 30))
    # The resonances of an open mouth, without which it is a buzzer.
    for formant_hz, width_hz in ((700, 80), (1220, 90), (2600, 120), (3300, 150)):
        decay = np.exp(-np.pi * width_hz / 16_000)
        back = [1.0, -2 * decay * np.cos(2 * np.pi * formant_hz / 16_000), decay**2]
        voice = lfilter([sum(back)], back, voice)
    voice *= 0.1 / np.sqrt(np.square(voice).mean())
    return ((voice + breath) * (envelope + 1e-3)).astype(np.float32)


class Clock:
    """A clock that goes when it is told to, in the place of the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now
