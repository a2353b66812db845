"""What is trained: the nearest rank, the same number of sequences, one model per pair where a method asks."""

from pathlib import Path

import pytest

from mome.compare.plan import DEFAULT_METHODS, base_params, noisy_scales, plan
from mome.compare.rank import nearest_rank, size_beside
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import METHODS


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


def test_every_model_gets_the_same_budget(foundation: Path, train_params: TrainParams) -> None:
    base = base_params(train_params, steps=7)
    jobs = plan(base, foundation, DEFAULT_METHODS, [1, 2])
    assert len(jobs) == 2 * (2 * 4 + 6)
    assert {(job.steps, job.batch_size, tuple(job.task_weights)) for job in jobs} == {(7, 16, ("av",))}
    alone = [job for job in jobs if job.method == "mome-mhsa-i" and job.seed == 2]
    assert [job.scales for job in alone] == [[scale] for scale in base.scales]
    # Summed adapters share what one has elsewhere.
    ranks = {job.method: job.lora_rank for job in jobs}
    assert ranks["mtsk-ms"] == ranks["mtsk-ss"] == ranks["llama-avsr"]
    assert abs(ranks["mtsk-ms"] - 2 * ranks["mtsk-mss"]) <= 1
    # Nothing else differs from what params.yaml says.
    kept = {"method", "scales", "lora_rank", "seed"}
    assert all(job.model_dump(exclude=kept) == base.model_dump(exclude=kept) for job in jobs)


def test_kept_experts_by_scale_follow_the_scales(foundation: Path, train_params: TrainParams) -> None:
    top_k = dict(zip(train_params.scales, (1, 2, 3, 4), strict=True))
    base = base_params(train_params.model_copy(update={"top_k": top_k}))
    jobs = plan(base, foundation, ["mome-mhsa-i", "mome-ffn"], [1])
    assert [job.top_k for job in jobs] == [*({scale: k} for scale, k in top_k.items()), top_k]


def test_a_batch_that_cannot_be_shared_out_is_refused(train_params: TrainParams) -> None:
    with pytest.raises(ConfigError, match="batch_size is 18, expected a multiple of the 4"):
        base_params(train_params.model_copy(update={"batch_size": 18}))
    with pytest.raises(ConfigError, match="batch_frames is 100, expected 0"):
        base_params(train_params.model_copy(update={"batch_frames": 100}))


def test_noise_is_heard_at_the_finest_and_the_coarsest(train_params: TrainParams) -> None:
    assert noisy_scales(train_params) == ("a4v2", "a16v5")
    assert noisy_scales(train_params.model_copy(update={"scales": ["a4v2"]})) == ("a4v2",)
