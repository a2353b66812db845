"""Training: resumes to the same weights after kill -9, and refuses what it cannot use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers.models.llama.modeling_llama import LlamaMLP

from mome.config import TrainParams, load_params
from mome.errors import CheckpointError, TrainingError
from mome.inference import Transcriber
from mome.model.audio_encoder import AudioEncoder
from mome.model.encoders import Encoders
from mome.records import Decoding
from mome.scales import Scale
from mome.speech.shards import read_manifest, read_split, write_manifest
from mome.speech.usable import write_set_aside
from mome.training.adapters import load_adapters
from mome.training.checkpoint import load_checkpoint
from mome.training.run import learning_rate, run


@pytest.fixture(scope="module")
def checkpoint(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(train_params, dataset, foundation, folder / "checkpoint", folder / "work")
    return folder / "checkpoint"


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in sorted(checkpoint.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def check_aligners(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    """Compare what is solved at once from features of encoders, and take it out: rounding counts for more."""
    for name in [name for name in one if name.startswith(("one/audio.", "one/video."))]:
        found = two.pop(name.replace("one/", "two/"))
        torch.testing.assert_close(found, one.pop(name), atol=2e-3, rtol=1e-2)


def left_over(folder: Path) -> list[int]:
    """Return the processes, but for this one, that were started with something in a folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in argument for argument in process.info["cmdline"] or ())
    ]


def nothing(folder: Path) -> Path:
    """Return what validation writes if it sets nothing aside."""
    write_set_aside([], folder / "validation")
    return folder / "validation"


def test_killed_in_the_middle_it_ends_with_the_same_weights(
    dataset: Path, foundation: Path, train_params: TrainParams, checkpoint: Path, tmp_path: Path
) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text())
    # Steps that were prepared ahead and never trained are prepared again.
    values["train"] = train_params.model_dump(mode="json") | {"loading_processes": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    command = [
        sys.executable, "-m", "mome.training", "--dataset", dataset, "--foundation", foundation,
        "--validation", nothing(tmp_path), "--output", tmp_path / "checkpoint", "--work", tmp_path / "work",
        "--params", tmp_path / "params.yaml",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "work").glob("train-*/state.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "checkpoint").exists(), "it finished before it could be killed"
    deadline = time.monotonic() + 20
    while left_over(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_over(tmp_path), "what prepares steps outlived the training"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    ended, expected = weights(tmp_path / "checkpoint"), weights(checkpoint)
    assert ended.keys() == expected.keys()
    assert {name.split("/")[0] for name in expected} == {"checkpoint", "adapter", "audio_adapter"}
    for name in expected:
        torch.testing.assert_close(ended[name], expected[name], atol=0, rtol=0)


def test_two_processes_end_with_the_weights_of_one(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    # Balance is the product of two means over a pass, so its part does depend on who reads what. Adam divides
    # by a gradient's own size, and turns the rounding of the smallest into whole steps: let them be small.
    changed = {"load_balancing_weight": 0.0, "precision": "float32", "learning_rate": 1e-4}
    params = train_params.model_copy(update=changed | {"synthetic_voices": 0.5})
    run(params, dataset, foundation, tmp_path / "one", tmp_path / "work-one")
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["train"] = params.model_dump(mode="json")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "mome.training", "--dataset", dataset, "--foundation", foundation, "--output", tmp_path / "two",
        "--validation", nothing(tmp_path), "--work", tmp_path / "work-two",
        "--params", tmp_path / "params.yaml",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == {name.replace("two/", "one/") for name in two}
    check_aligners(one, two)
    for name, expected in one.items():
        torch.testing.assert_close(two[name.replace("one/", "two/")], expected, atol=2e-5, rtol=1e-3)
    check_same_gradients(tmp_path)


def check_same_gradients(folder: Path) -> None:
    """Weights do not tell gradients from twice the gradients; the optimiser's mean of them does."""
    states = [
        load_file(*folder.glob(f"{work}/train-*/state.safetensors")) for work in ("work-one", "work-two")
    ]
    for name in (name for name in states[0] if name.startswith("exp_avg/")):
        largest = states[0][name].abs().max().item()
        torch.testing.assert_close(states[1][name], states[0][name], atol=1e-4 * largest, rtol=1e-3)


def kill_torchrun(process: subprocess.Popen[bytes]) -> None:
    """End torchrun and its processes, each of which leads a session of its own."""
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for number in (process.pid, *map(int, workers)):
        os.kill(number, signal.SIGKILL)
    process.wait()


def test_two_processes_that_share_the_llm_are_killed_and_end_with_the_weights_of_one(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    # Three utterances a step at one scale: one process reads two passes where the other has only one.
    changed = {
        "load_balancing_weight": 0.0, "precision": "float32", "scales": ["a4v2"], "task_weights": {"av": 1.0},
        "batch_size": 3, "augmentation": "llama-avsr", "video_lora_rank": 4, "gradient_checkpointing": True,
        # Adam divides by a gradient's own size, and turns the rounding of the smallest into whole steps.
        "sharding": "full", "learning_rate": 1e-4, "threads": 1, "loading_processes": 1,
    }  # fmt: skip
    params = train_params.model_copy(update=changed)
    run(params, dataset, foundation, tmp_path / "one", tmp_path / "work-one")
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["train"] = params.model_dump(mode="json")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "mome.training", "--dataset", dataset, "--foundation", foundation, "--output", tmp_path / "two",
        "--validation", nothing(tmp_path), "--work", tmp_path / "work-two",
        "--params", tmp_path / "params.yaml",
    ]  # fmt: skip
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("work-two/train-*/state.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    kill_torchrun(killed)
    assert not (tmp_path / "two").exists(), "it finished before it could be killed"
    with (tmp_path / "log").open("w") as log:
        continued = subprocess.Popen(command, stderr=log)
    try:
        code = continued.wait(timeout=120)
    except subprocess.TimeoutExpired:
        kill_torchrun(continued)
        pytest.fail("no end: one process waits for another, which reads the LLM less often")
    assert code == 0, (tmp_path / "log").read_text()[-2000:]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == {name.replace("two/", "one/") for name in two}
    check_aligners(one, two)
    # A weight in 50,000 whose gradient is almost nothing comes out apart, another in every run. What else
    # there is must agree to 1e-5; the four steps are up to 2e-4 long.
    for name, expected in one.items():
        apart = (two[name.replace("one/", "two/")] - expected).abs()
        assert apart.max() < 5e-5, name
        assert (apart > 1e-5 + 1e-5 * expected.abs()).double().mean() < 1e-3, name
    check_same_gradients(tmp_path)


def test_gradient_checkpointing_changes_memory_and_nothing_else(
    dataset: Path,
    foundation: Path,
    train_params: TrainParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: Counter[str] = Counter()
    plain = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda *args: passes.update([name]) or plain(*args))
    for name, checkpointing in (("kept", False), ("again", True)):
        params = train_params.model_copy(update={"gradient_checkpointing": checkpointing, "steps": 2})
        run(params, dataset, foundation, tmp_path / name / "checkpoint", tmp_path / name / "work")
    assert passes["again"] > passes["kept"], "nothing was computed again"
    kept, again = (weights(tmp_path / name / "checkpoint") for name in ("kept", "again"))
    for name, expected in kept.items():
        torch.testing.assert_close(again[name], expected, atol=1e-6, rtol=1e-5)


def test_only_safetensors_are_written(checkpoint: Path) -> None:
    endings = {path.suffix for path in checkpoint.rglob("*") if path.is_file()}
    assert endings <= {".safetensors", ".json", ".html", ".md"}


def test_a_loaded_checkpoint_holds_the_trained_weights(checkpoint: Path, foundation: Path) -> None:
    model = load_checkpoint(checkpoint, foundation).model
    state = model.state_dict()
    for name, expected in load_file(checkpoint / "projectors.safetensors").items():
        torch.testing.assert_close(state[name], expected, atol=0, rtol=0)


_PROJECTOR = "video_projectors.2.layers.0.weight"


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ({_PROJECTOR: None}, "lacks 1 tensors, video_projectors"),
        (
            {_PROJECTOR.replace("2", "3", 1): torch.ones(2)},
            r"beyond what is read, 1 tensors, video_projectors\.3",
        ),
        (
            {_PROJECTOR: torch.ones(2, 3)},
            r"is \(2, 3\), but beside this model it is \(",
        ),
    ],
)
def test_other_projectors_than_the_model_has_are_refused(
    checkpoint: Path, foundation: Path, tmp_path: Path, damaged: dict[str, torch.Tensor | None], message: str
) -> None:
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "projectors.safetensors"
    tensors = load_file(file) | damaged
    save_file({name: each for name, each in tensors.items() if each is not None}, file)
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(tmp_path / "checkpoint", foundation)
    assert str(file) in str(error.value)


def test_the_loaded_audio_encoder_hears_as_the_trained_one_with_lora_beside_it(
    checkpoint: Path, foundation: Path, dataset: Path
) -> None:
    _, clip = next(iter(read_split(dataset, "test")))
    loaded = load_checkpoint(checkpoint, foundation).encoders
    frozen = Encoders.load(foundation, "cpu")
    lora = load_file(checkpoint / "audio_adapter" / "adapter_model.safetensors")
    # Added by hand: W + 2 B A for every pair.
    weights = dict(frozen.audio.encoder.named_parameters())
    for name, down in lora.items():
        if name.endswith("lora_A.weight"):
            layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            up = lora[name.replace("lora_A", "lora_B")]
            assert up.any(), f"{layer} was not trained"
            weights[f"{layer}.weight"].data += 2 * up @ down
    torch.testing.assert_close(
        loaded.hear([clip.samples])[0], frozen.hear([clip.samples])[0], atol=1e-5, rtol=1e-5
    )
    untouched = Encoders.load(foundation, "cpu").hear([clip.samples])[0]
    assert not torch.allclose(loaded.hear([clip.samples])[0], untouched)


@pytest.fixture(scope="module")
def encoded_anew(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint of the papers' augmentation, with LoRA on the video encoder."""
    folder = tmp_path_factory.mktemp("anew")
    params = train_params.model_copy(update={"augmentation": "llama-avsr", "video_lora_rank": 4})
    run(params, dataset, foundation, folder / "checkpoint", folder / "work")
    return folder / "checkpoint"


def test_the_loaded_video_encoder_sees_as_the_trained_one_with_lora_beside_it(
    encoded_anew: Path, foundation: Path, dataset: Path
) -> None:
    _, clip = next(iter(read_split(dataset, "test")))
    loaded = load_checkpoint(encoded_anew, foundation).encoders
    frozen = Encoders.load(foundation, "cpu")
    lora = load_file(encoded_anew / "video_adapter" / "adapter_model.safetensors")
    weights = dict(frozen.video.avhubert.named_parameters())
    downs = [name for name in lora if name.endswith("lora_A.weight")]
    assert len(downs) == 2 * frozen.video.avhubert.config.num_hidden_layers
    for name in downs:
        layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        assert lora[name].any(), f"{layer} was not trained"
        weights[f"{layer}.weight"].data += 2 * lora[name.replace("lora_A", "lora_B")] @ lora[name]
    torch.testing.assert_close(loaded.see([clip.mouth])[0], frozen.see([clip.mouth])[0], atol=1e-5, rtol=1e-5)
    untouched = Encoders.load(foundation, "cpu").see([clip.mouth])[0]
    assert not torch.allclose(loaded.see([clip.mouth])[0], untouched)


def test_a_video_adapter_that_is_gone_is_missed(encoded_anew: Path, foundation: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoded_anew, tmp_path / "checkpoint")
    (folder / "video_adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"video_adapter: expected adapter_model\.safetensors"):
        load_checkpoint(folder, foundation)


@pytest.fixture(scope="module")
def own_lips(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint with a video encoder of its own, killed after that was taught and started again."""
    folder = tmp_path_factory.mktemp("own-lips")
    params = train_params.model_copy(update={"augmentation": "varied-lips", "video_steps": 2, "steps": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mome.training.run._fit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(params, dataset, foundation, folder / "checkpoint", folder / "work")
    assert not (folder / "checkpoint").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mome.training.own_encoders.teach_lips", lambda *_: pytest.fail("it was taught again"))
        run(params, dataset, foundation, folder / "checkpoint", folder / "work")
    return folder / "checkpoint"


def test_a_video_encoder_that_was_taught_the_lips_of_the_corpus_travels_with_the_checkpoint(
    own_lips: Path, foundation: Path, dataset: Path
) -> None:
    _, clip = next(iter(read_split(dataset, "test")))
    loaded = load_checkpoint(own_lips, foundation).encoders
    frozen = Encoders.load(foundation, "cpu")
    assert not torch.allclose(loaded.see([clip.mouth])[0], frozen.see([clip.mouth])[0], atol=1e-2)
    for name, expected in load_file(own_lips / "video" / "model.safetensors").items():
        torch.testing.assert_close(loaded.video.avhubert.state_dict()[name], expected, atol=0, rtol=0)
    assert not list((own_lips.parent / "work").glob("lips-*")), "they look different in every step"


@pytest.fixture(scope="module")
def embedded(foundation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A foundation that says that its audio encoder was taught here."""
    folder = shutil.copytree(foundation, tmp_path_factory.mktemp("embedded") / "foundation")
    (folder / "foundation.json").write_text(json.dumps({"params": {"audio": "embedded"}}))
    return folder


@pytest.fixture(scope="module")
def own_voices(
    dataset: Path, embedded: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint with both encoders of its own, of which that of the lips was there before."""
    folder = tmp_path_factory.mktemp("own-voices")
    lips = {"augmentation": "varied-lips", "video_steps": 2, "steps": 2}
    run(train_params.model_copy(update=lips), dataset, embedded, folder / "lips", folder / "work")
    params = train_params.model_copy(update=lips | {"audio_steps": 2, "audio_lora_rank": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mome.training.own_encoders.teach_lips", lambda *_: pytest.fail("it was taught again"))
        run(params, dataset, embedded, folder / "checkpoint", folder / "work")
    return folder / "checkpoint"


def test_an_audio_encoder_that_was_taught_the_voices_of_the_corpus_travels_with_the_checkpoint(
    own_voices: Path, embedded: Path, dataset: Path
) -> None:
    _, clip = next(iter(read_split(dataset, "test")))
    loaded = load_checkpoint(own_voices, embedded).encoders
    frozen = Encoders.load(embedded, "cpu")
    assert not torch.allclose(loaded.hear([clip.samples])[0], frozen.hear([clip.samples])[0], atol=1e-2)
    # LoRA was trained beside what had been taught: by hand, on what the checkpoint holds.
    own = AudioEncoder.load(own_voices / "audio")
    own.encoder = load_adapters(own.encoder, own_voices / "audio_adapter")
    with torch.inference_mode():
        expected, _ = own([torch.from_numpy(clip.samples)])
    torch.testing.assert_close(loaded.hear([clip.samples])[0], expected[0], atol=1e-5, rtol=1e-5)
    before = AudioEncoder.load(own_voices / "audio")
    assert not torch.allclose(before([torch.from_numpy(clip.samples)])[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("made", "base", "encoder"), [("own_lips", "foundation", "video"), ("own_voices", "embedded", "audio")]
)
def test_an_encoder_of_its_own_that_is_gone_is_missed(
    made: str, base: str, encoder: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = shutil.copytree(request.getfixturevalue(made), tmp_path / "checkpoint")
    shutil.rmtree(folder / encoder)
    with pytest.raises(CheckpointError, match=encoder):
        load_checkpoint(folder, request.getfixturevalue(base))


def test_a_foundation_that_is_not_there_is_named(
    dataset: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"gone/audio: expected a Whisper"):
        run(train_params, dataset, tmp_path / "gone", tmp_path / "checkpoint", tmp_path / "work")


def test_a_published_audio_encoder_is_taught_by_nobody(
    own_lips: Path, foundation: Path, dataset: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    assert not (own_lips / "audio").exists()
    published = shutil.copytree(foundation, tmp_path / "foundation")
    (published / "foundation.json").write_text(json.dumps({"params": {"audio": "openai/whisper@1"}}))
    params = train_params.model_copy(update={"audio_steps": 2, "steps": 2})
    run(params, dataset, published, tmp_path / "checkpoint", tmp_path / "work")
    assert not (tmp_path / "checkpoint" / "audio").exists()
    assert load_checkpoint(tmp_path / "checkpoint", published)


def test_a_corpus_without_lips_teaches_none_of_them(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    changed = {"task_weights": {"audio": 1.0}, "video_steps": 2, "steps": 2}
    run(train_params.model_copy(update=changed), dataset, foundation, tmp_path / "c", tmp_path / "work")
    assert not (tmp_path / "c" / "video").exists()
    assert load_checkpoint(tmp_path / "c", foundation)


def test_lips_are_kept_on_disk_only_where_every_step_sees_the_same(
    encoded_anew: Path, checkpoint: Path
) -> None:
    assert not list((encoded_anew.parent / "work").glob("lips-*"))
    assert list((checkpoint.parent / "work").glob("lips-*"))


def test_equal_training_in_another_folder_gives_equal_files(
    checkpoint: Path, foundation: Path, dataset: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(foundation, tmp_path / "foundation")
    run(train_params, dataset, elsewhere, tmp_path / "checkpoint", tmp_path / "work")
    for path in checkpoint.rglob("*"):
        if path.is_file():
            assert (tmp_path / "checkpoint" / path.relative_to(checkpoint)).read_bytes() == path.read_bytes()


def test_a_clip_is_transcribed_from_sound_lips_and_both(
    checkpoint: Path, foundation: Path, dataset: Path
) -> None:
    transcriber = Transcriber.load(
        foundation, checkpoint, Decoding(num_beams=1, max_new_tokens="by_duration")
    )
    _, clip = next(iter(read_split(dataset, "test")))
    sound, lips = type(clip)(clip.samples, None), type(clip)(None, clip.mouth)
    texts = transcriber.transcribe([clip, sound, lips], Scale(4, 2))
    assert texts == [transcriber.transcribe([each], Scale(4, 2))[0] for each in (clip, sound, lips)]
    assert all(transcriber.times(modality) for modality in ("av", "audio", "video"))


def test_a_script_that_loads_a_checkpoint_is_told_nothing_that_it_cannot_mend(
    checkpoint: Path, foundation: Path
) -> None:
    script = (
        "import sys; from pathlib import Path; from mome.training.checkpoint import load_checkpoint; "
        "load_checkpoint(*map(Path, sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(checkpoint), str(foundation)], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_checkpoint_for_another_foundation_is_refused(
    checkpoint: Path, foundation: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for path in foundation.rglob("*"):
        if path.is_file():
            target = other / path.relative_to(foundation)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    damaged = other / "llm" / "model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="was trained on the foundation"):
        load_checkpoint(checkpoint, other)


def test_a_pickled_adapter_is_refused(checkpoint: Path, foundation: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for path in checkpoint.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(checkpoint)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (folder / "adapter" / "adapter_model.safetensors").rename(folder / "adapter" / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"expected adapter_model\.safetensors"):
        load_checkpoint(folder, foundation)


def test_a_clip_that_is_too_short_ends_a_training_before_its_first_step(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    folder = shutil.copytree(dataset, tmp_path / "dataset")
    rows = read_manifest(folder)
    for split in ("train", "validation"):
        short = next(place for place, row in enumerate(rows) if row.split == split)
        changed = rows[short].model_copy(update={"num_samples": 15 * 320, "num_frames": 7})
        write_manifest(folder, [*rows[:short], changed, *rows[short + 1 :]])
        with pytest.raises(TrainingError, match=rf"utterance {changed.utterance_id} .* 14 audio .* needs 16"):
            run(train_params, folder, foundation, tmp_path / "checkpoint", tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    params = load_params(Path("params.yaml")).train
    rates = [learning_rate(step, params) for step in range(params.steps)]
    assert max(rates) == pytest.approx(params.learning_rate)
    assert rates[0] < rates[1]
    assert rates[-1] < params.learning_rate / 1000
