"""Llama-SMoP's mixtures against a loop over tokens, and what the three designs share."""

import pytest
import torch

from mome.errors import ConfigError
from mome.model.projector_mixture import mixtures, routing_losses


def pair(design: str, audio_width: int = 6, video_width: int = 6) -> tuple[torch.nn.Module, ...]:
    torch.manual_seed(0)
    return mixtures(
        design, audio_width=audio_width, video_width=video_width, hidden_width=8, llm_width=5,
        num_experts=4, top_k=2,
    )  # fmt: skip


def test_each_token_is_the_weighted_sum_of_its_projectors() -> None:
    audio, _ = pair("dedr")
    tokens = torch.randn(11, 6)
    expected = []
    for token in tokens:
        scores = torch.softmax(audio.router.gate.weight @ token, 0)
        kept = scores.topk(2)
        weights = kept.values / kept.values.sum()
        expected.append(
            sum(
                w * audio.experts[i](token[None])[0]
                for w, i in zip(weights, kept.indices.tolist(), strict=True)
            )
        )
    torch.testing.assert_close(audio(tokens), torch.stack(expected))


def test_the_z_loss_is_the_mean_squared_log_sum_of_the_logits() -> None:
    audio, _ = pair("dedr")
    tokens = torch.randn(7, 6)
    audio(tokens)
    logits = tokens @ audio.router.gate.weight.T
    expected = sum(torch.log(torch.exp(row).sum()) ** 2 for row in logits) / 7
    found = routing_losses([audio])
    assert found is not None
    torch.testing.assert_close(found[1], expected)


@pytest.mark.parametrize("design", ["dedr", "jedr", "jejr"])
def test_a_joint_router_is_judged_by_the_tokens_of_sound_and_lips_at_once(design: str) -> None:
    audio, video = pair(design)
    sound, lips = torch.randn(5, 6), 3 * torch.randn(11, 6) + 1
    audio(sound)
    video(lips)

    def by_hand(gate: torch.Tensor, tokens: torch.Tensor) -> tuple[float, float]:
        balance, z, count = 0.0, 0.0, len(tokens)
        logits = [gate @ token for token in tokens]
        probabilities = [torch.softmax(each, 0) for each in logits]
        for expert in range(4):
            chosen = sum(expert in each.topk(2).indices.tolist() for each in logits)
            balance += 4 * chosen / count * sum(each[expert].item() for each in probabilities) / count
        for each in logits:
            z += torch.log(torch.exp(each).sum()).item() ** 2 / count
        return balance, z

    if design == "jejr":
        expected = by_hand(audio.router.gate.weight, torch.cat([sound, lips]))
    else:
        each = by_hand(audio.router.gate.weight, sound), by_hand(video.router.gate.weight, lips)
        expected = (each[0][0] + each[1][0]) / 2, (each[0][1] + each[1][1]) / 2
    found = routing_losses([audio, video])
    assert found is not None
    assert [loss.item() for loss in found] == pytest.approx(expected, rel=1e-5)


def test_without_a_pass_there_is_nothing_to_balance() -> None:
    assert routing_losses(pair("dedr")) is None


@pytest.mark.parametrize(
    ("design", "joint_experts", "joint_router"),
    [("dedr", False, False), ("jedr", True, False), ("jejr", True, True)],
)
def test_the_designs_share_what_their_names_say(design: str, joint_experts: bool, joint_router: bool) -> None:
    audio, video = pair(design)
    assert (audio.experts is video.experts) == joint_experts
    assert (audio.router is video.router) == joint_router


def test_encoders_of_different_widths_cannot_share_projectors() -> None:
    assert pair("dedr", 6, 7)
    with pytest.raises(ConfigError, match="sound has 6, lips have 7"):
        pair("jedr", 6, 7)
