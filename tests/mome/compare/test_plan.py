"""What is trained: the nearest rank, the same utterances, one model per pair where a method asks."""

from pathlib import Path

import pytest
import torch

from mome.compare.plan import (
    DEFAULT_METHODS,
    base_params,
    begin_with,
    models_of,
    published,
    seeded,
    sequences_each,
)
from mome.compare.rank import nearest_rank, size_beside
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import METHODS
from mome.tuners.mome import MomeConfig
from mome.tuners.mome.experts import Experts


@pytest.mark.parametrize("method", ["llama-avsr", "mtsk-ms", "mtsk-ss", "mtsk-mss"])
def test_the_rank_is_the_nearest_of_all(foundation: Path, train_params: TrainParams, method: str) -> None:
    scales = train_params.scales[:1] if METHODS[method].one_scale else train_params.scales
    params = train_params.model_copy(update={"method": method, "scales": scales, "task_weights": {"av": 1.0}})
    sizes = {
        rank: size_beside(foundation, params.model_copy(update={"lora_rank": rank})).active
        for rank in range(1, 33)
    }
    for active in (1, sizes[3], sizes[3] + 1, sizes[20] - 1, (sizes[6] + sizes[7]) // 2 + 1):
        found = nearest_rank(foundation, params, active)
        assert found == min(sizes, key=lambda rank: (abs(sizes[rank] - active), rank))


@pytest.fixture
def train_params(train_params: TrainParams) -> TrainParams:
    """For sound and lips together alone."""
    return train_params.model_copy(update={"task_weights": {"av": 1.0}})


def test_every_model_hears_the_same_utterances_in_a_step(foundation: Path, train_params: TrainParams) -> None:
    base = base_params(train_params)
    models = {method: models_of(base, method, foundation) for method in DEFAULT_METHODS}
    jobs = seeded([model for some in models.values() for model in some], [1, 2])
    assert len(jobs) == 2 * (2 * 4 + 6)
    # Sixteen sequences of a joint model are four utterances.
    assert {(job.batch_size, len(job.scales)) for job in jobs} == {(16, 4), (4, 1)}
    assert [job.scales for job in models["mome-mhsa-i"]] == [[scale] for scale in base.scales]
    (omni,) = models_of(base, "omni-s", foundation)
    assert (omni.batch_size, omni.scales) == (4, base.scales)  # each step draws one of the scales
    # Summed adapters share what one has elsewhere.
    ranks = {method: some[0].lora_rank for method, some in models.items()}
    assert ranks["mtsk-ms"] == ranks["mtsk-ss"] == ranks["llama-avsr"]
    assert abs(ranks["mtsk-ms"] - 2 * ranks["mtsk-mss"]) <= 1
    # Nothing else differs from what params.yaml says.
    own = {"method", "scales", "batch_size", "lora_rank", "lora_scaling", "init_std", "seed"}
    assert all(job.model_dump(exclude=own) == base.model_dump(exclude=own) for job in jobs)


def test_beside_the_papers_llm_the_strength_is_the_published_one(train_params: TrainParams) -> None:
    lora = train_params.model_copy(update={"method": "mtsk-ms", "lora_rank": 64})
    assert published(lora, 2048).lora_scaling == 0.125
    assert published(train_params, 2048).init_std == 0.02
    # A quarter of the width at the same rank: half as much comes through it.
    assert published(lora, 512).lora_scaling == 0.25
    assert published(train_params, 512).init_std == 0.04


def test_the_factor_is_on_what_an_expert_adds(train_params: TrainParams) -> None:
    start = published(train_params, 64)
    added = {}
    for factor in (1.0, 4.0):
        torch.manual_seed(0)
        config = MomeConfig(num_experts=5, top_k=5, init_std=begin_with(start, factor).init_std)
        added[factor] = Experts(64, config)(torch.randn(1, 500, 64)).std().item()
    assert added[4.0] / added[1.0] == pytest.approx(4.0, rel=0.2)


def test_kept_experts_by_scale_follow_the_scales(foundation: Path, train_params: TrainParams) -> None:
    top_k = dict(zip(train_params.scales, (1, 2, 3, 4), strict=True))
    base = base_params(train_params.model_copy(update={"top_k": top_k}))
    assert [job.top_k for job in models_of(base, "mome-mhsa-i", foundation)] == [
        {scale: k} for scale, k in top_k.items()
    ]
    assert [job.top_k for job in models_of(base, "mome-ffn", foundation)] == [top_k]


def test_tasks_share_the_utterances_of_a_step(foundation: Path, train_params: TrainParams) -> None:
    tasks = {"av": 1.0, "audio": 1.0, "video": 0.5}
    base = base_params(train_params.model_copy(update={"task_weights": tasks, "batch_size": 48}))
    for method in ("mome-layer", "mome-mhsa-i", "omni-s"):
        for model in models_of(base, method, foundation):
            assert model.task_weights == tasks
            # Both at four pairs, and each alone at its two rates; or one of each.
            sequences = 8 if method == "mome-layer" else 3
            assert (model.batch_size, sequences_each(model)) == (6 * sequences, sequences)


def test_a_model_that_never_reads_both_is_refused(train_params: TrainParams) -> None:
    with pytest.raises(ConfigError, match="has audio, video, expected av among them"):
        base_params(train_params.model_copy(update={"task_weights": {"audio": 1.0, "video": 1.0}}))


def test_a_batch_that_cannot_be_shared_out_is_refused(train_params: TrainParams) -> None:
    with pytest.raises(ConfigError, match="batch_size is 18, expected a multiple of 4"):
        base_params(train_params.model_copy(update={"batch_size": 18}))
    with pytest.raises(ConfigError, match="batch_frames is 100, expected 0"):
        base_params(train_params.model_copy(update={"batch_frames": 100}))
