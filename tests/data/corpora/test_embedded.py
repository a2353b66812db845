"""The embedded corpus comes with sound and mouth video, and keeps its speakers apart."""

import numpy as np

from data.corpora.embedded import read_embedded
from mome.speech.audio import read_audio
from mome.speech.video import read_video


def test_every_utterance_has_sound_and_a_mouth_of_the_same_length(prepare_params):
    corpus = read_embedded(prepare_params)
    media = list(corpus.media())
    assert len(media) == len(corpus.utterances) == 11
    for files in media:
        audio, video = read_audio(files.audio.content), read_video(files.video.content)
        assert audio.sampling_rate == 16_000
        assert video.frames.shape[1:] == (96, 96)
        assert abs(len(audio.samples) / 16_000 - len(video.frames) / 25) < 0.04
        assert np.abs(audio.samples).max() > 0.05


def test_no_speaker_is_in_two_splits(prepare_params):
    corpus = read_embedded(prepare_params)
    assert corpus.speaker_disjoint
    seen = {}
    for utterance in corpus.utterances:
        assert seen.setdefault(utterance.speaker, utterance.split) == utterance.split


def test_the_key_follows_the_parameters(prepare_params):
    key = read_embedded(prepare_params).key
    assert read_embedded(prepare_params).key == key
    assert read_embedded(prepare_params.model_copy(update={"seed": 99})).key != key
