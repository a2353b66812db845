"""params.yaml: what it holds is checked, and what is wrong is named."""

from pathlib import Path

import pytest
import yaml

from mome.config import EvaluateParams, MonitorParams, TrainParams, load_params, parse_section
from mome.errors import ConfigError

PARAMS = Path("params.yaml")


def test_the_projects_own_parameters_are_valid() -> None:
    assert load_params(PARAMS).train.top_k <= load_params(PARAMS).train.num_experts


def test_no_number_of_params_yaml_is_read_as_text() -> None:
    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) else []

    def looks_like_a_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    assert not [text for text in texts(yaml.safe_load(PARAMS.read_text())) if looks_like_a_number(text)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("learning_rate:", "learnig_rate:", "train.learnig_rate: unknown key"),
        ("learning_rate: ", "learning_rate: 1e-3 #", "write 1.0e-3, not 1e-3"),
        ("top_k: ", "top_k: true #", "train.top_k"),
        ("top_k: ", "top_k: 2.5 #", "train.top_k"),
        ("top_k: ", "top_k: 99 #", "top_k is 99"),
        ("scales: ", "scales: [a4v2, fine] #", "unknown scale 'fine'"),
        ("device: cpu", "device:", "train.device"),
        ("augmentation: ", "augmentation: none #", "train.augmentation: input should be 'llama-avsr'"),
        ("video_lora_rank: ", "video_lora_rank: -1 #", "train.video_lora_rank"),
        (
            "video_steps: 0",
            "video_steps: 5\n  video_lora_rank: 8 #",
            "video_steps is 5 and video_lora_rank 8",
        ),
        ("sharding: ", "sharding: half #", "train.sharding: input should be 'none' or 'full'"),
        ("audio_padding: ", "audio_padding: 10s #", "train.audio_padding: input should be 'none' or '30s'"),
        ("keep: ", "keep: first #", "train.keep: input should be 'best' or 'last'"),
        ("average_last: ", "average_last: 4 #", "average_last is 4, but keep: best takes one checkpoint"),
        ("noise: ", "noise: '' #", "train.noise"),
        ("noise: ", "noise: corpus + corpus #", "train.noise: value error, noise is 'corpus"),
        ("noise: ", "noise: steady #", "noise is 'steady', expected one source of babble"),
        ("window: ", "window: 0 #", "monitor.window"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        load_params(file)


def test_a_missing_file_and_broken_yaml_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("train: [1, 2")
    with pytest.raises(ConfigError, match="not YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_pipeline_step_gets_back_whole_numbers_that_travelled_as_floats() -> None:
    values = load_params(PARAMS).sections()["train"]
    travelled = {key: float(value) if type(value) is int else value for key, value in values.items()}
    assert parse_section(TrainParams, travelled) == load_params(PARAMS).train


def test_a_pipeline_step_refuses_a_fraction_where_a_count_is_due() -> None:
    values = load_params(PARAMS).sections()["monitor"] | {"window": 20.5}
    with pytest.raises(ConfigError, match="window"):
        parse_section(MonitorParams, values)


@pytest.mark.parametrize("profile", ["lrs3-1b", "lrs2-3b", "lrs3-8b"])
def test_profiles_train_as_the_papers_do_and_the_embedded_one_as_fast_as_it_can(profile: str) -> None:
    papers, embedded = load_params(PARAMS, profile).train, load_params(PARAMS).train
    assert (papers.augmentation, embedded.augmentation) == ("llama-avsr", "cached-lips")
    assert papers.noise_snrs_db == [-5, 0, 5, 10, 15, 20, None]
    assert papers.video_lora_rank == papers.audio_lora_rank == 0, "frozen, for sound and lips together"


@pytest.mark.parametrize("profile", sorted(path.stem for path in Path("mome/profiles").glob("lr*.yaml")))
def test_profiles_take_the_clips_of_the_papers_and_the_numbers_in_their_texts(profile: str) -> None:
    papers, embedded = load_params(PARAMS, profile).validate_, load_params(PARAMS).validate_
    # 12 frames at 25 fps and 24 s (model facts 10); the embedded LLM was taught no digits.
    assert (papers.min_duration_s, papers.max_duration_s) == (12 / 25, 24)
    assert set(papers.alphabet) - set(embedded.alphabet) == set("0123456789")


def test_the_profile_for_ones_own_talkers_teaches_their_voices_and_lips_and_needs_no_gpu() -> None:
    plain, talker = load_params(PARAMS), load_params(PARAMS, "talker")
    assert (talker.train.device, talker.evaluate.device) == ("cpu", "cpu")
    assert talker.foundation.audio.startswith("openai/whisper-tiny.en@")
    assert talker.train.audio_steps > 0
    assert talker.train.video_steps > 0
    assert talker.train.augmentation == "varied-lips"
    assert talker.train.audio_lora_rank == 0
    changed = {"audio_steps", "audio_lora_rank", "video_steps", "augmentation", "splicing", "steps"}
    changed |= {"synthetic_voices"}
    assert talker.train.model_copy(update={n: getattr(plain.train, n) for n in changed}) == plain.train


def test_a_profile_stands_in_for_its_sections_and_no_others() -> None:
    plain, papers = load_params(PARAMS), load_params(PARAMS, "lrs2-3b")
    assert papers.train.bottleneck_dim == 12
    assert papers.foundation.llm.startswith("meta-llama/Llama-3.2-3B@")
    assert (papers.evaluate.device, papers.evaluate.num_beams) == ("cuda", 15)
    assert papers.gate == plain.gate
    known = "lrs2-3b, lrs3-1b, lrs3-8b, lrs3-asr, lrs3-omni, lrs3-vsr, talker"
    with pytest.raises(ConfigError, match=f"profile 'lrs4': unknown; there are {known}"):
        load_params(PARAMS, "lrs4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cpu"}, "compile_decoding needs device: cuda, and it is cpu"),
        ({"device": "cuda", "num_beams": 15}, "compile_decoding decodes greedily, but num_beams is 15"),
    ],
)
def test_compiled_decoding_needs_a_gpu_and_no_beams(changes: dict[str, object], message: str) -> None:
    values = load_params(PARAMS).sections()["evaluate"] | {"compile_decoding": True}
    assert parse_section(EvaluateParams, values | {"device": "cuda"}).compile_decoding
    with pytest.raises(ConfigError, match=message):
        parse_section(EvaluateParams, values | changes)
