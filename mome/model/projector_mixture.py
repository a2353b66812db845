"""Llama-SMoP's sparse mixture of projectors: each token goes through the few that its router chose."""

# Shape letters: T tokens, C encoder width, D width of the LLM, E projectors, K projectors per token.

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mome.errors import ConfigError
from mome.methods import Mixture
from mome.model.projector import Projector
from mome.tuners.mome.router import Router, load_balancing_loss

__all__ = ["ProjectorMixture", "mixtures", "routing_losses"]


class ProjectorMixture(nn.Module):
    """A router over projectors; the outputs of the kept ones, weighted, sum to one token.

    A projector is a thousand columns wide, so unlike MoME's experts each one runs only on the tokens
    that chose it.

    Args:
        experts: The projectors.
        router: Chooses among them; may be shared with the mixture of another modality.

    Source: Llama-SMoP (arXiv:2505.14336); softmax over all, top-k, renormalised (model facts 5.5).
    """

    def __init__(self, experts: nn.ModuleList, router: Router) -> None:
        super().__init__()
        self.experts = experts
        self.router = router
        self.logits_TE: Tensor | None = None  # of the last pass

    def forward(self, tokens_TC: Tensor) -> Tensor:
        """Project tokens ``(T, C)`` to ``(T, D)``."""
        logits_TE = self.router.gate(tokens_TC).float()
        routing = self.router.route(logits_TE, tokens_TC.dtype)
        self.logits_TE = logits_TE
        projected: list[Tensor] = []
        places: list[Tensor] = []
        for index, expert in enumerate(self.experts):
            chosen_T, slot_T = torch.where(routing.expert_ids_NK == index)
            weight_T1 = routing.weights_NK[chosen_T, slot_T, None]
            projected.append(expert(tokens_TC[chosen_T]) * weight_T1)
            places.append(chosen_T)
        outputs = torch.cat(projected)
        return outputs.new_zeros(len(tokens_TC), outputs.shape[1]).index_add(0, torch.cat(places), outputs)


def routing_losses(passed: Iterable[ProjectorMixture]) -> tuple[Tensor, Tensor] | None:
    """Return balance loss and z-loss of the last pass, or None if no mixture took part in it.

    They are of a router: one that two mixtures share is judged by the tokens of both at once, as in the
    published code, and disjoint routers one by one, then averaged. The z-loss is the mean squared
    log-sum-exp of the logits.

    Args:
        passed: The mixtures of a model.

    Source: Llama-SMoP (model facts 5.5).
    """
    logits: dict[Router, list[Tensor]] = {}
    for each in passed:
        if each.logits_TE is not None:
            logits.setdefault(each.router, []).append(each.logits_TE)
    if not logits:
        return None
    balance, z = [], []
    for router, parts in logits.items():
        logits_TE = torch.cat(parts)
        everything_T = torch.ones(len(logits_TE), device=logits_TE.device)
        balance.append(load_balancing_loss([router.route(logits_TE, logits_TE.dtype)], everything_T))
        z.append(logits_TE.logsumexp(dim=-1).square().mean())
    return torch.stack(balance).mean(), torch.stack(z).mean()


def mixtures(
    mixture: Mixture,
    *,
    audio_width: int,
    video_width: int,
    hidden_width: int,
    llm_width: int,
    num_experts: int,
    top_k: int,
) -> tuple[ProjectorMixture, ProjectorMixture]:
    """Return the mixtures of sound and of lips, which share what the design says.

    Args:
        mixture: ``dedr`` disjoint experts and routers, ``jedr`` joint experts, ``jejr`` joint both.
        audio_width, video_width: Widths of the compressed tokens.
        hidden_width: Inside a projector.
        llm_width: ``D``.
        num_experts: Projectors of a mixture, ``E``.
        top_k: Projectors that a token keeps, ``K``.

    Raises:
        ConfigError: If experts are to be shared, but the two modalities differ in width.
    """
    if mixture != "dedr" and audio_width != video_width:
        raise ConfigError(
            f"llama-smop-{mixture} shares projectors, so both encoders need one width; "
            f"sound has {audio_width}, lips have {video_width}"
        )

    def experts(width: int) -> nn.ModuleList:
        return nn.ModuleList(Projector(width, hidden_width, llm_width) for _ in range(num_experts))

    audio = ProjectorMixture(experts(audio_width), Router(audio_width, num_experts, top_k))
    video = ProjectorMixture(
        audio.experts if mixture != "dedr" else experts(video_width),
        audio.router if mixture == "jejr" else Router(video_width, num_experts, top_k),
    )
    return audio, video
