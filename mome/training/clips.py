"""What training reads, sound and lips, and how a clip is heard and seen anew each time."""

# Shape letters: N samples, T frames, C encoder width, H height, W width of a picture.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from mome.config import Augmentation
from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import Modality
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE, Samples
from mome.speech.augmentation import change_speed, colour
from mome.speech.noise import Babble, Noise, with_noise
from mome.speech.shards import SplitReader
from mome.speech.sounds import Sounds
from mome.storage import new_file
from mome.training.pieces import Piece, join_sound
from mome.training.recordings import cut_lips, mask_lips, mask_sound, vary_lips

__all__ = ["PACE", "VARIED", "TrainingClips", "read_clips"]

_CLIPS_PER_PASS = 8
PACE = (0.88, 1.14)  # slower and faster by about an eighth, as people are
VARIED = 0.75  # share of the clips that are heard through another microphone


@dataclass(frozen=True)
class TrainingClips:
    """The usable utterances of a split.

    Args:
        waveforms: Per utterance ``(N,)`` at 16 kHz; empty without sound.
        lips: Per utterance features ``(T, C)`` in float16, computed once because the video encoder is
            frozen; empty without video, and where the encoder runs in every step.
        transcripts: Per utterance.
        mouths: Reads mouth video for an encoder that runs in every step; None without.
        noise: One of these is drawn behind every utterance; None is babble of the others.
    """

    waveforms: Sequence[np.ndarray]
    lips: list[Tensor]
    transcripts: list[str]
    mouths: SplitReader | None = None
    noise: tuple[Noise | None, ...] = (None,)

    def __len__(self) -> int:
        return len(self.transcripts)

    @property
    def has_lips(self) -> bool:
        """Whether there is video, encoded or not."""
        return bool(self.lips) or self.mouths is not None

    @property
    def modality(self) -> Modality:
        """What there is."""
        if not len(self.waveforms):
            return "video"
        return "av" if self.has_lips else "audio"

    @cached_property
    def num_frames(self) -> NDArray[np.int64]:
        """Length of every utterance ``(N,)`` in video frames of 40 ms, with or without video."""
        if self.mouths is not None:
            return np.array([utterance.num_frames for utterance in self.mouths.utterances])
        if self.lips:
            return np.array([len(features_TC) for features_TC in self.lips])
        sounds = self.waveforms
        num_samples = sounds.num_samples if isinstance(sounds, Sounds) else [len(each) for each in sounds]
        return np.array(num_samples) * VIDEO_FRAMES_PER_SECOND // SAMPLING_RATE

    def hear(
        self,
        index: int,
        snrs_db: Sequence[float | None],
        rng: np.random.Generator,
        augmentation: Augmentation | None = None,
        pieces: Sequence[Piece] = (),
    ) -> np.ndarray:
        """Return the sound of one utterance in noise, at a level drawn from ``snrs_db``.

        Args:
            index: Of the utterance.
            snrs_db: None is clean.
            rng: Draws everything.
            augmentation: ``llama-avsr`` masks stretches of the speech, not of the noise; with the others it
                is mostly heard through another microphone, and faster or slower unless lips go with it.
            pieces: What it is joined of; empty for the recording as it is.
        """
        speech = join_sound(self.waveforms, pieces) if pieces else self.waveforms[index]
        return self.hear_among(speech, index, snrs_db, rng, augmentation, is_paced=not self.has_lips)

    def hear_among(
        self,
        speech: Samples,
        index: int,
        snrs_db: Sequence[float | None],
        rng: np.random.Generator,
        augmentation: Augmentation | None,
        *,
        is_paced: bool,
    ) -> Samples:
        """Return speech ``(N,)`` as `hear` does that of one utterance, in whose place it is.

        Args:
            speech: At 16 kHz.
            index: Of the utterance: babble is that of others.
            snrs_db: As `hear` takes them.
            rng: Likewise.
            augmentation: Likewise.
            is_paced: Whether it may be faster or slower than it was spoken.
        """
        snr_db = snrs_db[int(rng.integers(len(snrs_db)))]
        if augmentation == "llama-avsr":
            speech = mask_sound(speech, rng)
        # One source alone takes no draw: what was trained before there were several is trained so again.
        drawn = 0 if len(self.noise) == 1 else int(rng.integers(len(self.noise)))
        noise = self.noise[drawn] or Babble(self.waveforms)
        samples = with_noise(noise, index, speech, snr_db, rng)
        if augmentation in ("cached-lips", "varied-lips") and rng.random() < VARIED:
            if is_paced:
                samples = change_speed(samples, rng.uniform(*PACE))
            samples = colour(samples, rng)
        return samples

    def see(self, index: int, pieces: Sequence[Piece] = ()) -> Tensor | None:
        """Return the features of one utterance's lips in float32, or None if there are none.

        Args:
            index: Of the utterance.
            pieces: As `hear` takes them.
        """
        if not self.lips:
            return None
        if pieces:
            return torch.cat([self.lips[each.recording][each.first : each.end] for each in pieces]).float()
        return self.lips[index].float()

    def watch(
        self,
        index: int,
        side: int,
        rng: np.random.Generator,
        augmentation: Augmentation | None = None,
        pieces: Sequence[Piece] = (),
    ) -> np.ndarray | None:
        """Return one utterance's mouth frames ``(T, H, W)`` uint8 to encode, or None if there are none.

        Args:
            index: Of the utterance.
            side: Of the picture that the encoder sees, in pixels.
            rng: Draws everything.
            augmentation: ``llama-avsr`` cuts the picture out anywhere, and masks stretches of it; with
                ``varied-lips`` it is lit otherwise as well; otherwise the frames are whole, and the encoder
                cuts out their centre.
            pieces: As `hear` takes them.
        """
        frames_THW = self._mouth(index, pieces)
        if frames_THW is None or augmentation in (None, "cached-lips"):
            return frames_THW
        seen_THW = (vary_lips if augmentation == "varied-lips" else cut_lips)(frames_THW, side, rng)
        return mask_lips(seen_THW, rng)

    def _mouth(self, index: int, pieces: Sequence[Piece]) -> np.ndarray | None:
        if self.mouths is None:
            return None
        if not pieces:
            return self.mouths.mouth(index)
        parts = []
        for each in pieces:
            frames_THW = self.mouths.mouth(each.recording)
            assert frames_THW is not None  # left out, sound and lips would part
            parts.append(frames_THW[each.first : each.end])
        return np.concatenate(parts)


def read_clips(
    reader: SplitReader,
    encoders: Encoders | None,
    lips: Path | None,
    description: str,
    only: Modality = "av",
    noise: tuple[Noise | None, ...] = (None,),
) -> TrainingClips:
    """Read the sound of a split if it is small, and encode its lips unless that was done before.

    Args:
        reader: Of the split, with at least one utterance.
        encoders: That the lips are encoded with; None if ``lips`` is.
        lips: File to keep the lips' features in; an interrupted run finds them there. None encodes
            nothing: mouth video is read whenever it is asked for.
        description: For the progress bar.
        only: Sound or lips alone, where nothing that is trained reads the other.
        noise: As `TrainingClips` takes it.
    """
    if only == "audio":
        lips = None
    transcripts = [utterance.transcript for utterance in reader.utterances]
    is_heard = "video" not in (only, reader.modality)
    waveforms: Sequence[np.ndarray] = Sounds(reader) if is_heard else []
    to_encode = lips is not None and not lips.exists()
    encoded = _load(lips) if lips is not None and not to_encode else []
    waiting: list[np.ndarray] = []

    def encode_waiting() -> None:
        if not waiting:
            return
        assert encoders is not None
        with torch.no_grad():
            encoded.extend(features_TC.half() for features_TC in encoders.see(waiting))
        waiting.clear()

    to_hold = isinstance(waveforms, Sounds) and waveforms.is_held
    for index in progress(range(len(reader) if to_encode or to_hold else 0), description):
        if to_hold:
            _ = waveforms[index]  # now, so that all processes that are forked from this one have it
        mouth = reader.mouth(index) if to_encode else None
        if mouth is not None:
            waiting.append(mouth)
        if len(waiting) == _CLIPS_PER_PASS:
            encode_waiting()
    encode_waiting()
    if lips is not None and to_encode and encoded:
        with new_file(lips) as temporary:
            save_file({str(index): tensor for index, tensor in enumerate(encoded)}, temporary)
    looked_at = lips is None and only != "audio" and reader.utterances[0].has_video
    return TrainingClips(waveforms, encoded, transcripts, reader if looked_at else None, noise)


def _load(lips: Path) -> list[Tensor]:
    tensors = load_file(lips)
    return [tensors[str(index)] for index in range(len(tensors))]
