"""How far the noise estimate is from the truth: clips of speech in every noise at every level, and a table.

    python -m mome.benchmark.noise --speech NAME=FOLDER ... --voices FOLDER [--noise FOLDER] [--output FILE]

Clips of 2 to 4 s are cut or joined from recordings that the estimator was never taught (docs/control.md says
which it was). The time is that of one core where ``OPENBLAS_NUM_THREADS=1`` is set.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import irfft, rfft

from mome.cli import main
from mome.errors import ConfigError
from mome.progress import progress
from mome.records import NoiseKind
from mome.reporting.markdown import columns
from mome.speech.audio import SAMPLING_RATE, Samples
from mome.speech.noise import babble, mix_at_snr
from mome.speech.noise_estimate import NoiseEstimate, estimate_noise
from mome.speech.noises import BURSTY_DB, burstiness_db
from mome.speech.recordings import find_recordings, read_recording
from mome.storage import write_text

__all__ = ["Heard", "listen_to", "tables"]

LEVELS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
_TALKERS = (2, 4, 8, 16)
_SHORTEST_S, _LONGEST_S = 2.0, 4.0
_NAMED_BELOW_DB = 15.0


@dataclass(frozen=True)
class Heard:
    """One clip: what is true of it, and what was said."""

    corpus: str
    noise: str  # white, babble of 4, the name of a recording ...
    kind: NoiseKind
    snr_db: float | None
    estimate: NoiseEstimate
    processor_s: float
    duration_s: float


def listen_to(
    speech: dict[str, Sequence[Samples]],
    voices: Sequence[Samples],
    recordings: dict[str, Samples],
    clips: int,
    seed: int,
) -> Iterator[Heard]:
    """Yield the estimate of ``clips`` drawn clips in every noise at every level, and of each clip as it is.

    Args:
        speech: Clips of each corpus.
        voices: What babble is made of; of other people than the speech.
        recordings: Of noise, by name.
        clips: In each cell of the table, of all corpora together.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    spoken = [(corpus, clip) for corpus, its in speech.items() for clip in its]
    noises = ["white", "pink", *(f"babble of {talkers}" for talkers in _TALKERS), "bursts", *recordings]
    cells = [(noise, snr_db) for noise in noises for snr_db in LEVELS_DB]
    for noise, snr_db in progress(cells, "estimate"):
        for index in rng.permutation(len(spoken))[:clips]:
            corpus, clip = spoken[index]
            sound = _noise(noise, len(clip), voices, recordings, rng)
            yield _heard(corpus, noise, _kind(noise, sound), snr_db, mix_at_snr(clip, sound, snr_db))
    for corpus, clip in spoken:
        yield _heard(corpus, "as it is", "none", None, clip)


def tables(heard: Sequence[Heard]) -> str:
    """Return the errors of level by noise and by corpus, and the names that kinds were given, in Markdown."""
    noisy = [each for each in heard if each.snr_db is not None and each.estimate.snr_db is not None]
    noises = list(dict.fromkeys(each.noise for each in noisy))
    corpora = list(dict.fromkeys(each.corpus for each in noisy))
    parts = [
        "Error of the level in dB, mean ± spread, by true level:",
        columns(
            ["noise", *(f"{level:g} dB" for level in LEVELS_DB), "bias", "mean absolute"],
            [
                *(
                    _errors_by_level(noise, [each for each in noisy if each.noise == noise])
                    for noise in noises
                ),
                *(
                    _errors_by_level(f"all {kind}", [each for each in noisy if each.kind == kind])
                    for kind in ("babble", "steady", "bursts")
                ),
                _errors_by_level("all", noisy),
            ],
        ),
        "Bias in dB by corpus, and what the clips read as they are (10th, 50th, 90th of 100):",
        columns(
            ["corpus", *noises, "mean absolute", "as it is"],
            [
                [
                    corpus,
                    *(
                        _bias([each for each in noisy if (each.corpus, each.noise) == (corpus, noise)])[0]
                        for noise in noises
                    ),
                    _bias([each for each in noisy if each.corpus == corpus])[1],
                    _clean([each for each in heard if each.corpus == corpus and each.snr_db is None]),
                ]
                for corpus in corpora
            ],
        ),
        f"What the noise is called below {_NAMED_BELOW_DB:g} dB, and of clips as they are:",
        columns(
            ["noise", "truly", "babble", "steady", "bursts", "none"],
            [
                _names([each for each in heard if each.noise == noise])
                for noise in dict.fromkeys(each.noise for each in heard)
            ],
        ),
        _right(noisy),
        _cost(heard),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _noise(
    name: str,
    num_samples: int,
    voices: Sequence[Samples],
    recordings: dict[str, Samples],
    rng: np.random.Generator,
) -> Samples:
    if name in recordings:
        start = int(rng.integers(max(1, len(recordings[name]) - num_samples)))
        return np.resize(recordings[name][start:], num_samples)
    if name.startswith("babble"):
        return babble(voices, num_samples, rng, talkers=int(name.rpartition(" ")[2]))
    white = rng.normal(size=num_samples)
    if name == "pink":
        spectrum = rfft(white)
        white = irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n=num_samples)
    if name == "bursts":
        gate = np.zeros(num_samples)
        start = int(rng.uniform(0, 0.5) * SAMPLING_RATE)
        while start < num_samples:
            length = int(rng.uniform(0.03, 0.25) * SAMPLING_RATE)
            gate[start : start + length] = 1.0
            start += length + int(rng.uniform(0.1, 0.8) * SAMPLING_RATE)
        white = white * gate
    return white.astype(np.float32)


def _kind(name: str, sound: Samples) -> NoiseKind:
    if name.startswith("babble"):
        return "babble"
    return "bursts" if burstiness_db(sound[None])[0] > BURSTY_DB else "steady"


def _heard(corpus: str, noise: str, kind: NoiseKind, snr_db: float | None, clip: Samples) -> Heard:
    started = time.process_time()
    estimate = estimate_noise(clip)
    taken = time.process_time() - started
    return Heard(corpus, noise, kind, snr_db, estimate, taken, len(clip) / SAMPLING_RATE)


def _errors(heard: Sequence[Heard]) -> np.ndarray:
    return np.array([(each.estimate.snr_db or 0.0) - (each.snr_db or 0.0) for each in heard])


def _errors_by_level(name: str, heard: Sequence[Heard]) -> list[str]:
    levels = (_error([each for each in heard if each.snr_db == level]) for level in LEVELS_DB)
    return [name, *levels, *_bias(heard)]


def _error(heard: Sequence[Heard]) -> str:
    errors = _errors(heard)
    return f"{errors.mean():+.1f} ± {errors.std():.1f}" if len(errors) else "–"


def _bias(heard: Sequence[Heard]) -> tuple[str, str]:
    errors = _errors(heard)
    return (f"{errors.mean():+.1f}", f"{np.abs(errors).mean():.1f}") if len(errors) else ("–", "–")


def _clean(heard: Sequence[Heard]) -> str:
    levels = [each.estimate.snr_db for each in heard if each.estimate.snr_db is not None]
    return " ".join(f"{level:.0f}" for level in np.percentile(levels, (10, 50, 90))) if levels else "–"


def _names(heard: Sequence[Heard]) -> list[str]:
    counted = [each for each in heard if each.snr_db is None or each.snr_db < _NAMED_BELOW_DB]
    truly = Counter(each.kind for each in counted).most_common(1)[0][0]
    named = Counter(each.estimate.kind for each in counted)
    shares = (named[kind] / len(counted) for kind in ("babble", "steady", "bursts", "none"))
    return [counted[0].noise, truly, *(f"{share:.0%}" for share in shares)]


def _right(noisy: Sequence[Heard]) -> str:
    below = [each for each in noisy if each.snr_db is not None and each.snr_db < _NAMED_BELOW_DB]
    right = sum(each.estimate.kind == each.kind for each in below) / max(1, len(below))
    sure = [each for each in noisy if each.estimate.confident]
    return (
        f"Kind named right below {_NAMED_BELOW_DB:g} dB: {right:.0%}. Levels that the estimator trusts: "
        f"{len(sure) / max(1, len(noisy)):.0%}, mean absolute error {_bias(sure)[1]} dB."
    )


def _cost(heard: Sequence[Heard]) -> str:
    cost = 1000 * sum(each.processor_s for each in heard) / sum(each.duration_s for each in heard)
    return f"Processor time for 10 s of sound: {10 * cost:.1f} ms, over {len(heard)} clips."


def _clips(paths: Sequence[Path], rng: np.random.Generator) -> list[Samples]:
    """Return clips of 2 to 4 s: long recordings are cut, short ones joined with the next."""
    clips: list[Samples] = []
    parts: list[Samples] = []
    for path in paths:
        parts += [read_recording(path), np.zeros(int(rng.uniform(0.1, 0.25) * SAMPLING_RATE), np.float32)]
        joined = np.concatenate(parts)
        wanted = int(rng.uniform(_SHORTEST_S, _LONGEST_S) * SAMPLING_RATE)
        if len(joined) >= _SHORTEST_S * SAMPLING_RATE:
            start = int(rng.integers(max(1, len(joined) - wanted)))
            clips.append(joined[start : start + wanted])
            parts = []
    return clips


def _files(folder: Path, most: int, rng: np.random.Generator) -> list[Path]:
    found = find_recordings(folder)
    return [found[index] for index in sorted(rng.permutation(len(found))[:most])]


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.noise", description="Test the estimate.")
    parser.add_argument(
        "--speech", nargs="+", required=True, metavar="NAME=FOLDER", help="recordings of people"
    )
    parser.add_argument("--voices", type=Path, required=True, help="recordings of other people, for babble")
    parser.add_argument("--noise", type=Path, help="recordings of noise; default: none")
    parser.add_argument("--clips", type=int, default=60, help="in each cell of the table; default: 60")
    parser.add_argument("--recordings", type=int, default=200, help="read of each folder; default: 200")
    parser.add_argument("--seed", type=int, default=5, help="default: 5")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    overheard = _files(given.voices, given.recordings, rng)
    speech: dict[str, Sequence[Samples]] = {}
    for each in given.speech:
        name, _, folder = each.partition("=")
        if not folder:
            raise ConfigError(f"--speech {each}: expected NAME=FOLDER")
        paths = _files(Path(folder), given.recordings, rng)
        if Path(folder).resolve() == given.voices.resolve():  # nobody is drowned in their own voice
            overheard, paths = overheard[::2], overheard[1::2]
        speech[name] = _clips(paths, rng)
    recordings = (
        {path.stem: read_recording(path) for path in _files(given.noise, given.recordings, rng)}
        if given.noise
        else {}
    )
    voices = [read_recording(path) for path in overheard]
    found = tables(list(listen_to(speech, voices, recordings, given.clips, given.seed)))
    if given.output is not None:
        write_text(given.output, found)
    print(found, end="")


if __name__ == "__main__":
    raise SystemExit(main(_command))
