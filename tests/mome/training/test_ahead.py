"""Steps prepared ahead are the steps that would have been prepared in their turn."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mome.config import TrainParams
from mome.errors import CorpusError
from mome.model.encoders import Encoders
from mome.speech.shards import SplitReader
from mome.speech.sounds import Sounds
from mome.training.ahead import SOUND_ALONE, Prepared, Step, prepare_steps
from mome.training.clips import PACE, TrainingClips, read_clips
from mome.training.processes import ALONE, Processes
from mome.training.splicing import Splices
from mome.training.spoken import find_spoken
from mome.training.voices import Voices

BATCHES = [(step, [(7 * step + place) % 12 for place in range(5)]) for step in range(6)]


@pytest.fixture
def clips(dataset: Path, foundation: Path) -> Iterator[TrainingClips]:
    with closing(SplitReader(dataset, "train")) as reader:
        read = read_clips(reader, Encoders.load(foundation, "cpu"), None, "read")
        # Not held in memory, as a large corpus.
        yield TrainingClips(Sounds(reader, held_h=0), [], read.transcripts, reader)


@pytest.fixture
def params(train_params: TrainParams) -> TrainParams:
    return train_params.model_copy(update={"augmentation": "llama-avsr"})


def steps(
    clips: TrainingClips,
    params: TrainParams,
    loading_processes: int,
    first: int = 0,
    processes: Processes = ALONE,
    splices: Splices | None = None,
    voices: Voices | None = None,
) -> list[Step]:
    changed = params.model_copy(update={"loading_processes": loading_processes})
    return list(prepare_steps(clips, BATCHES[first:], 88, changed, processes, splices, voices))


def planted_splices(clips: TrainingClips) -> Splices:
    found = find_spoken(clips)
    assert found is not None
    return Splices(found, clips.transcripts, ["one"] * len(clips), clips.num_frames.tolist(), 0.4, (10, 1000))


def planted_voices() -> Voices:
    """Ten voices, each of its own length and loudness."""
    lengths = [16_000 + 800 * number for number in range(10)]
    samples = [np.full(length, 1000 * (1 + number), np.int16) for number, length in enumerate(lengths)]
    return Voices(np.concatenate(samples), np.cumsum(lengths), [f"text {number}" for number in range(10)])


def check_same(found: Prepared, expected: Prepared) -> None:
    np.testing.assert_array_equal(found.samples_N, expected.samples_N)
    np.testing.assert_array_equal(found.frames_THW, expected.frames_THW)
    assert found.rng.random() == expected.rng.random(), "what is drawn behind the encoders differs"


def test_other_processes_prepare_what_this_one_would_have(clips: TrainingClips, params: TrainParams) -> None:
    expected, ahead, continued = steps(clips, params, 0), steps(clips, params, 2), steps(clips, params, 2, 3)
    assert [step.indices for step in ahead] == [indices for _, indices in BATCHES]
    assert ahead[0].prepared[0].frames_THW.shape[1:] == (88, 88)
    for number, step in enumerate(expected):
        assert step.mine == step.indices
        again = [ahead[number], *continued[number - 3 : number - 2 or None][: number >= 3]]
        assert len(again) == 1 + (number >= 3)
        for one in again:
            assert one.mine == step.mine
        for place, each in enumerate(step.prepared):
            state = each.rng.bit_generator.state
            for one in again:
                each.rng.bit_generator.state = state
                check_same(one.prepared[place], each)


def test_joined_utterances_are_the_same_in_other_processes_and_say_what_they_are_joined_of(
    clips: TrainingClips, params: TrainParams
) -> None:
    splices = planted_splices(clips)
    expected, ahead = (steps(clips, params, count, splices=splices) for count in (0, 2))
    joined = 0
    for one, other in zip(expected, ahead, strict=True):
        for index, each, again in zip(one.mine, one.prepared, other.prepared, strict=True):
            check_same(again, each)
            assert (again.transcript, again.pieces) == (each.transcript, each.pieces)
            assert each.samples_N is not None
            assert each.frames_THW is not None
            assert len(each.samples_N) == pytest.approx(640 * len(each.frames_THW), abs=640)
            words = each.transcript.split()
            sources = [clips.transcripts[piece.recording].split() for piece in each.pieces]
            assert words[0] == clips.transcripts[index].split()[0]
            if sources:
                joined += 1
                assert words[-1] == sources[-1][-1]
                assert all(word in {text[place] for text in sources} for place, word in enumerate(words))
            else:
                assert each.transcript == clips.transcripts[index]
    assert joined > 10


def test_a_voice_stands_beside_an_utterance_that_is_heard_and_seen_as_without_it(
    clips: TrainingClips, params: TrainParams
) -> None:
    changed = {"synthetic_voices": 0.5, "noise_snrs_db": [None], "augmentation": "varied-lips"}
    params = params.model_copy(update=changed)
    plain = steps(clips, params, 0)
    expected, ahead = (steps(clips, params, count, voices=planted_voices()) for count in (0, 2))
    spoken = 0
    for without, one, other in zip(plain, expected, ahead, strict=True):
        own = [place for place, each in enumerate(one.prepared) if each.read_as != SOUND_ALONE]
        assert [one.mine[place] for place in own] == without.mine == one.indices
        for each, again in zip(one.prepared, other.prepared, strict=True):
            state = again.rng.bit_generator.state
            check_same(again, each)
            again.rng.bit_generator.state = state
            assert (again.transcript, again.read_as) == (each.transcript, each.read_as)
        for place, alone in zip(own, without.prepared, strict=True):
            beside = next(iter(one.prepared[place + 1 : place + 2]), None)
            has_voice = beside is not None and beside.read_as == SOUND_ALONE
            assert one.prepared[place].read_as == ({"av", "video"} if has_voice else None)
            check_same(other.prepared[place], alone)
            if beside is None or not has_voice:
                continue
            spoken += 1
            assert one.mine[place + 1] == one.mine[place]
            number = int(beside.transcript.split()[1])
            assert beside.frames_THW is None
            assert beside.samples_N is not None
            slower, faster = (round((16_000 + 800 * number) / pace) for pace in PACE)
            assert faster - 1 <= len(beside.samples_N) <= slower + 1, "it is paced, though lips are there"
    assert 8 < spoken < 22, "of thirty about half"


def test_where_sound_is_read_alone_a_voice_stands_in_the_place_of_an_utterance(
    clips: TrainingClips, params: TrainParams
) -> None:
    heard = TrainingClips(clips.waveforms, [], clips.transcripts)
    params = params.model_copy(update={"synthetic_voices": 0.5})
    found = steps(heard, params, 0, voices=planted_voices())
    assert all(step.mine == step.indices for step in found)
    said = [each.transcript.startswith("text ") for step in found for each in step.prepared]
    assert [each.read_as == SOUND_ALONE for step in found for each in step.prepared] == said
    assert 8 < sum(said) < 22


def test_processes_that_share_a_step_prepare_its_clips_as_one_would(
    clips: TrainingClips, params: TrainParams
) -> None:
    params = params.model_copy(update={"synthetic_voices": 0.5})
    joined, voices = planted_splices(clips), planted_voices()
    whole = steps(clips, params, 0, splices=joined, voices=voices)
    shares = [
        steps(clips, params, 0, processes=Processes(rank, 2), splices=joined, voices=voices)
        for rank in range(2)
    ]
    for number, step in enumerate(whole):
        parts = {
            (index, prepared.read_as == SOUND_ALONE): prepared
            for share in shares
            for index, prepared in zip(share[number].mine, share[number].prepared, strict=True)
        }
        assert {index for index, _ in parts} == set(step.indices)
        assert len(parts) == len(step.prepared)
        for index, each in zip(step.mine, step.prepared, strict=True):
            check_same(parts[index, each.read_as == SOUND_ALONE], each)


def test_they_are_prepared_in_other_processes(
    clips: TrainingClips, params: TrainParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hear(*_: object) -> np.ndarray:
        return np.array([os.getpid()])

    monkeypatch.setattr(TrainingClips, "hear", hear)
    for loading_processes, number in ((0, 1), (2, 2)):
        found = steps(clips, params, loading_processes)
        there = {int(each.samples_N[0]) for step in found for each in step.prepared}
        assert len(there) == number
        assert (os.getpid() in there) == (loading_processes == 0)


@pytest.mark.parametrize("loading_processes", [0, 1])
def test_what_is_wrong_with_a_recording_is_said_as_if_it_were_read_here(
    loading_processes: int, clips: TrainingClips, params: TrainParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise CorpusError("shards/train-00000.tar: utterance a is damaged")

    monkeypatch.setattr(TrainingClips, "watch", damaged)
    with pytest.raises(CorpusError, match=r"^shards/train-00000.tar: utterance a is damaged$"):
        steps(clips, params, loading_processes)
