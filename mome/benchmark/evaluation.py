"""Evaluating every pair at every noise level: clips in batches with shared features, or one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from mome.benchmark.equality import ResultsDifferError
from mome.benchmark.loop import ExpertLoops
from mome.benchmark.models import embedded, random_clip
from mome.benchmark.options import Options
from mome.benchmark.reference import Transcript, hear_padded, transcribe
from mome.benchmark.rows import Row, Target
from mome.benchmark.timing import row, time_in_turn
from mome.model.avsr import Features, Task
from mome.model.recogniser import Recogniser
from mome.records import snr_key
from mome.scales import Scale
from mome.speech.media import Clip
from mome.speech.noise import with_babble

__all__ = ["check_texts", "evaluate_in_batches", "evaluate_one_by_one", "measure_evaluation"]

_TARGET = Target(low=3)
_SHORTEST, _LONGEST = 50, 100  # video frames: 2 to 4 s
_NEW_TOKENS = 8  # a sentence of six words; with random weights no text ends by itself
_CLIPS_PER_PASS = 8  # of the encoders, as in mome.evaluation
# Equal models differ by rounding; where two tokens were this close, either may be written.
_TIE = 1e-3

Key = tuple[str, str, int]  # scale, noise level, clip
NoisyClips = dict[str, list[Clip]]  # by noise level: the same lips, other sound


def measure_evaluation(options: Options) -> Iterator[Row]:
    """Yield the line of the evaluation: sound and lips together, in float32."""
    recogniser = embedded(options)
    num_clips, num_tokens = (2, 2) if options.quick else (8, _NEW_TOKENS)
    levels = options.evaluate.snrs_db[:2] if options.quick else options.evaluate.snrs_db
    noisy = _noisy_clips(num_clips, levels, seed=3)
    loops = ExpertLoops(recogniser.model.llm)
    one_by_one = partial(evaluate_one_by_one, recogniser, loops, noisy, num_tokens)
    in_batches = partial(evaluate_in_batches, recogniser, noisy, options.evaluate.batch_size, num_tokens)
    check_texts(in_batches(), one_by_one())
    name = f"evaluation, embedded size, {len(recogniser.model.scales)} pairs, {len(noisy)} noise levels"
    times = time_in_turn(
        {"published": one_by_one, "ours": in_batches},
        name,
        repetitions=options.repetitions,
        device=options.device,
    )
    note = f"{num_clips} clips of {_SHORTEST / 25:g} to {_LONGEST / 25:g} s; greedy on both sides"
    yield row(name, times, "published", "ours", _TARGET, note)


def evaluate_in_batches(
    recogniser: Recogniser, noisy: NoisyClips, batch_size: int, max_new_tokens: int
) -> dict[Key, str]:
    """Encode lips once and sound once per noise level, then decode in batches, as `mome.evaluation` does."""
    encoders, model = recogniser
    first = next(iter(noisy.values()))

    def encode(clips: Sequence[Clip]) -> list[Features]:
        starts = range(0, len(clips), _CLIPS_PER_PASS)
        return [each for start in starts for each in encoders.encode(clips[start : start + _CLIPS_PER_PASS])]

    lips = encode([Clip(None, clip.mouth) for clip in first])
    order = np.argsort([clip.duration_s for clip in first]).tolist()
    texts: dict[Key, str] = {}
    for level, clips in noisy.items():
        sound = encode([Clip(clip.samples, None) for clip in clips])
        for scale in model.scales:
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                tasks = [Task(Features(sound[i].audio_TC, lips[i].video_TC), scale) for i in batch]
                written = model.transcribe(tasks, max_new_tokens)
                texts |= {(str(scale), level, i): text for i, text in zip(batch, written, strict=True)}
    return texts


@torch.inference_mode()
def evaluate_one_by_one(
    recogniser: Recogniser, loops: ExpertLoops, noisy: NoisyClips, max_new_tokens: int
) -> dict[Key, Transcript]:
    """Encode and decode every clip anew for every pair and noise level, as published."""
    encoders, model = recogniser

    def write(clip: Clip, scale: Scale) -> Transcript:
        assert clip.samples is not None  # every clip here has both
        assert clip.mouth is not None
        features = Features(*hear_padded(encoders.audio, [clip.samples]), *encoders.see([clip.mouth]))
        return transcribe(model, features, scale, max_new_tokens)

    with loops.installed():
        return {
            (str(scale), level, index): write(clip, scale)
            for scale in model.scales
            for level, clips in noisy.items()
            for index, clip in enumerate(clips)
        }


def check_texts(found: Mapping[Key, str], expected: Mapping[Key, Transcript]) -> None:
    """Compare transcripts by scale, noise level and clip.

    Raises:
        ResultsDifferError: If two differ although every token of the reference was a clear choice.
    """
    for key, transcript in expected.items():
        if found[key] != transcript.text and min(transcript.margins) > _TIE:
            scale, level, index = key
            raise ResultsDifferError(
                f"evaluation, clip {index} at {scale} and noise {level}: {found[key]!r} was written, "
                f"by the reference recipe {transcript.text!r}"
            )


def _noisy_clips(num_clips: int, levels: Sequence[float | None], seed: int) -> NoisyClips:
    rng = np.random.default_rng(seed)
    clips = [random_clip(int(rng.integers(_SHORTEST, _LONGEST + 1)), rng) for _ in range(num_clips)]
    waveforms = [clip.samples for clip in clips if clip.samples is not None]
    return {
        snr_key(level): [
            Clip(with_babble(waveforms, index, level, rng), clip.mouth) for index, clip in enumerate(clips)
        ]
        for level in levels
    }
