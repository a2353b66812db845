"""One turn of the loop in a noise: heard, wished for, learnt, and measured before and after.

    python -m pipelines.turn RUN NOISE OUTPUT

RUN is the folder of a run of `pipelines.local`, with the model that is served. NOISE has recordings of what
callers have around them. Each is cut in two: production and the next training hear its beginning, both
models are judged in its end, which neither has heard. Everything that decides is the platform's own: what the
service measures on a clip, the monitor's looks and its wish, what the wish becomes, training, evaluation.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from components.request_retraining.noise import learn_noise
from mome.cli import main
from mome.config import EvaluateParams, MonitorParams, TrainParams, load_params, parse_section
from mome.errors import ConfigError, MonitorError
from mome.evaluation.run import run as evaluate
from mome.progress import progress
from mome.records import Evaluation, RequestRecord, RetrainRequest, condition_key, level
from mome.reporting.markdown import bullets, columns, document
from mome.request_log.files import FileStore
from mome.speech.audio import SAMPLING_RATE, read_audio
from mome.speech.media import Clip
from mome.speech.noise import with_noise
from mome.speech.noise_file import NoiseFolder, recordings_of
from mome.speech.shards import SplitReader
from mome.storage import new_folder, write_text
from mome.training.run import run as train
from monitoring.check import run as look
from serving.features import logged, measure

__all__ = ["Served", "cut_in_two", "hear", "markdown", "turn", "wished"]

_HEARD = 0.6  # of each recording; the end is for the judgement
_BEGINNINGS, _ENDS = "heard", "kept"


class Served(NamedTuple):
    """What a run has left: the model that is served, and what it was made from."""

    bundle: Path
    dataset: Path
    foundation: Path
    checkpoint: Path

    @classmethod
    def of_run(cls, run: Path) -> Served:
        """Find them in the folder of a run.

        Raises:
            ConfigError: If one is missing.
        """
        found = cls(
            bundle=run / "package" / "packaged" / "bundle",
            dataset=run / "prepare" / "dataset",
            foundation=run / "build-foundation" / "foundation",
            checkpoint=run / "train" / "checkpoint",
        )
        for path in found:
            if not path.is_dir():
                raise ConfigError(
                    f"{path}: no such folder; expected the folder of a whole run of pipelines.local"
                )
        return found

    def train_params(self) -> TrainParams:
        """Return the parameters that it was trained with."""
        section = json.loads((self.checkpoint / "config.json").read_text())["train"]
        return parse_section(TrainParams, section)


def cut_in_two(noise: Path, output: Path) -> tuple[Path, Path]:
    """Write the beginnings of all recordings into one folder and their ends into another.

    Args:
        noise: Folder of recordings at 16 kHz.
        output: Where the two folders are made.

    Raises:
        ConfigError: If there is none, or one of them is not at 16 kHz.
    """
    NoiseFolder(noise)  # says what is wrong with it
    with new_folder(output) as folder:
        for name in (_BEGINNINGS, _ENDS):
            (folder / name).mkdir()
        for number, path in enumerate(recordings_of(noise)):
            samples = read_audio(path).samples
            middle = round(_HEARD * len(samples))
            for name, part in ((_BEGINNINGS, samples[:middle]), (_ENDS, samples[middle:])):
                soundfile.write(
                    folder / name / f"{number}-{path.stem}.wav", part, SAMPLING_RATE, subtype="FLOAT"
                )
    return output / _BEGINNINGS, output / _ENDS


def hear(served: Served, noise: Path, snr_db: float, log: Path, moments: Sequence[datetime]) -> None:
    """Log requests of sound alone in a noise, as the service logs them.

    Args:
        served: The clips are those of its validation split.
        noise: Folder of recordings.
        snr_db: True level.
        log: Folder of the request log.
        moments: When each request was served.
    """
    source, rng = NoiseFolder(noise), np.random.default_rng(round(moments[0].timestamp()))
    with closing(SplitReader(served.dataset, "validation")) as reader, closing(FileStore(log)) as store:
        for moment in progress(moments, "serve requests"):
            index = int(rng.integers(len(reader)))
            speech = reader.clip(index, "audio").samples
            assert speech is not None  # sound alone was asked for
            clip = Clip(with_noise(source, index, speech, snr_db, rng), None)
            store.append([_record(clip, moment)])


def _record(clip: Clip, moment: datetime) -> RequestRecord:
    return RequestRecord(
        request_id=uuid.uuid4().hex,
        at=moment,
        scale="a4v2",
        modality="audio",
        duration_s=clip.duration_s,
        latency_ms=0.0,
        **logged(measure(clip)),
        status=200,
    )


def wished(params: MonitorParams, served: Served, noise: Path, snr_db: float, folder: Path) -> RetrainRequest:
    """Serve a window of requests and let the monitor look, as often as looks have to agree.

    Args:
        params: Section ``monitor``.
        served: What is served.
        noise: Folder of recordings; the wish names it.
        snr_db: True level.
        folder: For the request log and the monitor's state.

    Raises:
        MonitorError: If it is content in the end.
    """
    log, state = folder / "requests", folder / "state"
    start = datetime.now(UTC)
    reason = ""
    for number in range(params.consecutive_windows):
        first = number * params.window
        moments = [start + timedelta(seconds=first + second) for second in range(params.window)]
        hear(served, noise, snr_db, log, moments)
        reason = look(params, served.bundle, log, state, moments[-1], str(noise)).reason
    if not (state / "retrain.json").exists():
        raise MonitorError(
            f"the monitor wishes for no training: {reason}; a louder noise (--snr) may be one that no scale "
            "copes with"
        )
    return RetrainRequest.read(state / "retrain.json")


def turn(
    served: Served,
    noise: Path,
    output: Path,
    monitor: MonitorParams,
    judge: EvaluateParams,
    snr_db: float,
    steps: int | None = None,
) -> str:
    """Take one turn, and return what it came to, as Markdown.

    Args:
        served: What is served.
        noise: Folder of recordings at 16 kHz.
        output: Folder to write everything to; a turn that was broken off goes on there.
        monitor: Section ``monitor``.
        judge: Section ``evaluate``; its noises become babble and the recordings.
        snr_db: Level of the noise around the callers.
        steps: Of the next training; None for as many as the last one had.

    Raises:
        MonitorError: If the monitor is content with what is served.
    """
    heard, kept = cut_in_two(noise, output / "noise")
    with new_folder(output / "production") as production:
        wish = wished(monitor, served, heard, snr_db, production)
    before = served.train_params()
    after = learn_noise(before, wish)
    if steps is not None:
        after = after.model_copy(update={"steps": steps})
    judge = judge.model_copy(update={"noises": {"babble": 0.5, "recorded": 1.0}, "recordings": str(kept)})
    tables = [evaluate(judge, served.dataset, served.foundation, served.checkpoint, output / "before")]
    train(after, served.dataset, served.foundation, output / "checkpoint", output / "work")
    tables.append(evaluate(judge, served.dataset, served.foundation, output / "checkpoint", output / "after"))
    said = markdown(wish, before, after, tables, judge)
    write_text(output / "turn.md", said)
    return said


def markdown(
    wish: RetrainRequest,
    before: TrainParams,
    after: TrainParams,
    tables: Sequence[Evaluation],
    judge: EvaluateParams,
) -> str:
    """Return the wish, what became of it, and the word errors of both models with their 95 % intervals."""
    keys = [condition_key(None, None)] if None in judge.snrs_db else []
    for noise in judge.noises:
        keys += [condition_key(noise, snr_db) for snr_db in judge.snrs_db if snr_db is not None]
    rows = []
    for modality, scales in tables[0].wer.items():
        for scale in scales:
            for name, table in zip(("before", "after"), tables, strict=True):
                cells = [table.wer[modality][scale][key] for key in keys]
                shown = [f"{cell.rate:.1%} ({cell.low:.1%}–{cell.high:.1%})" for cell in cells]
                rows.append([f"{modality} {scale}, {name}", *shown])
    facts = [
        ("heard", f"{wish.noise}, {wish.snr_low_db:.1f} to {wish.snr_high_db:.1f} dB"),
        ("why the monitor asks", wish.reason),
        ("noise of the last training", before.noise),
        ("noise of the next one", after.noise),
        ("its levels", ", ".join("clean" if each is None else f"{each:g}" for each in after.noise_snrs_db)),
        ("steps", after.steps),
    ]
    return document("One turn of the loop", bullets(facts), columns(["model", *map(level, keys)], rows))


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.turn",
        description="Hear a noise, wish for it, learn it, and measure the word errors before and after.",
    )
    parser.add_argument("run", type=Path, help="folder of a run of pipelines.local, under var/runs")
    parser.add_argument("noise", type=Path, help="folder of recordings at 16 kHz")
    parser.add_argument("output", type=Path, help="folder to write to")
    parser.add_argument("--snr", type=float, default=-5.0, help="level around the callers in dB; default -5")
    parser.add_argument("--steps", type=int, help="of the next training; default: those of the last one")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    given = parser.parse_args()
    params = load_params(given.params)
    judge = params.evaluate.model_copy(update={"snrs_db": [None, 5.0, 0.0, -5.0]})
    print(
        turn(
            Served.of_run(given.run), given.noise, given.output, params.monitor, judge, given.snr, given.steps
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(_command))
