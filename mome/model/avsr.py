"""The model behind the encoders: compression, projectors and the frozen LLM with its adapters."""

# Shape letters: B sequences, L positions, T frames or tokens, C encoder width, D width of the LLM.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mome.config import Compression
from mome.errors import MediaError, UnknownScaleError
from mome.methods import METHODS, Method
from mome.modalities import nearest_scale
from mome.model.adaptation import select_adapters
from mome.model.captured_decoding import CapturedSteps
from mome.model.compression import COMPRESSIONS
from mome.model.decoding import BeamLimits, Certainty, Follower, Words
from mome.model.packing import language_loss, pack
from mome.model.prefix import Assembled, PrefixedText, assemble
from mome.model.projector_mixture import ProjectorMixture, routing_losses
from mome.model.projectors import Widths, build_projectors
from mome.model.tokens import TextTokens
from mome.reading import Kept, Listener
from mome.records import MODALITY_NAMES, Modality
from mome.scales import Scale, neighbours

__all__ = ["AVSRModel", "Features", "Losses", "Task"]


@dataclass(frozen=True)
class Features:
    """Encoder features of one clip: audio ``(T, C)`` at 50 Hz, video ``(T, C)`` at 25 Hz, or one of them."""

    audio_TC: Tensor | None
    video_TC: Tensor | None

    def only(self, modality: Modality) -> Features:
        """Return the features without what ``modality`` does not use."""
        return Features(
            None if modality == "video" else self.audio_TC,
            None if modality == "audio" else self.video_TC,
        )

    @property
    def modality(self) -> Modality:
        """What there is."""
        if self.audio_TC is None:
            return "video"
        return "audio" if self.video_TC is None else "av"


class Task(NamedTuple):
    """Read ``features`` at ``scale``; ``text`` is what should come out, for training.

    ``weight`` is a factor on the task's loss (Omni-AVSR, model facts 3).
    """

    features: Features
    scale: Scale
    text: Sequence[int] | None = None
    weight: float = 1.0

    @property
    def num_tokens(self) -> int:
        """Tokens of the prefix and the text, without delimiters and prompt."""
        audio, video = self.features.audio_TC, self.features.video_TC
        return (
            (0 if audio is None else len(audio) // self.scale.audio_rate)
            + (0 if video is None else len(video) // self.scale.video_rate)
            + (0 if self.text is None else len(self.text) + 1)
        )


class Losses(NamedTuple):
    """Loss of the texts (mean over their tokens), load-balancing loss and router z-loss of one pass."""

    language: Tensor
    balance: Tensor
    z: Tensor


class AVSRModel(nn.Module):
    """Projectors and an LLM with adapters; what trains is everything that requires a gradient.

    Args:
        llm: A causal LLM as `mome.model.adaptation.adapt` returns it.
        tokens: Of the LLM.
        scales: Those the model is trained for; each rate of each modality has its own projector. Others are
            read by what was trained around them (`reads`).
        audio_width, video_width: Of the encoders' features.
        method: Which adapters read which task, and what the projectors are.
        compression: How frames become tokens.
        projector_dim: Width inside a projector; 2048 in the papers.
        mixture: Projectors in each mixture and how many of them a token keeps, for Llama-SMoP.
        modalities: What the model is trained to read.
    """

    def __init__(
        self,
        llm: Any,
        tokens: TextTokens,
        scales: Sequence[Scale],
        audio_width: int,
        video_width: int,
        *,
        method: Method = METHODS["mome-layer"],
        compression: Compression = "average",
        projector_dim: int = 2048,
        mixture: tuple[int, int] = (4, 2),
        modalities: Iterable[Modality] = tuple(MODALITY_NAMES),
    ) -> None:
        super().__init__()
        tokens.check(llm.get_input_embeddings().num_embeddings)
        llm.get_output_embeddings().register_forward_pre_hook(_in_one_piece)
        self.llm = llm
        self.tokens = tokens
        self.scales = tuple(scales)
        self.modalities = tuple(modalities)
        self.method = method
        self.compression = compression
        self.compress = COMPRESSIONS[compression]
        self.readers_RL: Tensor | None = None  # of the last pass: how often each position counts
        self.captured_steps: CapturedSteps | None = None  # decode greedily on a GPU; None: plain ``generate``
        widths = Widths(audio_width, video_width, projector_dim, llm.config.hidden_size)
        self.audio_projectors, self.video_projectors = build_projectors(
            self.scales, widths, compression, method.projectors, *mixture
        )

    def reads(self, scale: Scale) -> bool:
        """Tell whether the model can read at a scale, trained for it or not.

        An average of frames is as wide whatever the rate, so that the projectors of the trained rates on both
        sides take it, and a token is between what they make of it (`mome.scales.neighbours`). LoRA adapters
        and the number of experts are those of the nearest trained rates. Stacked frames are as wide as their
        rate: they need a projector of their own.
        """
        return self.compression == "average" or (
            str(scale.audio_rate) in self.audio_projectors and str(scale.video_rate) in self.video_projectors
        )

    def forward(self, tasks: Sequence[Task]) -> Losses:
        """Read all tasks, whatever their scales and modalities, in one pass for all with equal adapters.

        Tasks that begin alike are read as one row (`rows`), the same sums at fewer positions.

        Raises:
            UnknownScaleError: If the model cannot read at a scale.
            MediaError: If a clip is shorter than one token, or holds what the model was not trained to read.
        """
        mixtures = [module for module in self.modules() if isinstance(module, ProjectorMixture)]
        for each in mixtures:
            each.logits_TE = None
        sequences = self._sequences(tasks)
        total = sum(len(task.text or ()) + 1 for task in tasks)
        device = self.llm.get_input_embeddings().weight.device
        language = balance = torch.zeros((), device=device)
        for rows in self.rows(tasks):
            self._select_adapters([tasks[row[0]] for row in rows])
            packed = pack(
                [[sequences[i] for i in row] for row in rows],
                self.tokens,
                self.llm.get_input_embeddings(),
                _kinds([[tasks[i] for i in row] for row in rows]),
            )
            together = [i for row in rows for i in row]
            share = len(packed.labels_N) / total
            weights_S = torch.tensor([tasks[i].weight for i in together], device=device)
            language = language + share * language_loss(self.llm, packed, weights_S)
            if self.method.experts is not None:
                # A position that several sequences share counts once for each. The published code reads
                # every scale in a pass of its own, and balances each of them (model facts 4.5).
                self.readers_RL = packed.readers_KRL.sum(dim=0)
                balance = balance + share * self.llm.base_model.load_balancing_loss(packed.readers_KRL)
        routed = routing_losses(mixtures)
        if routed is not None:
            return Losses(language, *routed)
        return Losses(language, balance, torch.zeros((), device=device))

    def transcribe(
        self, tasks: Sequence[Task], budgets: int | Sequence[int], num_beams: int = 1
    ) -> list[str]:
        """Return the most probable text of each task; `read` says the rest.

        Args:
            tasks: What to read.
            budgets: Longest text of each task, in tokens, or of all.
            num_beams: As `read` takes it.
        """
        kept = [Kept() for _ in tasks]
        each = [budgets] * len(tasks) if isinstance(budgets, int) else budgets
        self.read(tasks, each, kept, num_beams)
        return [one.text.text for one in kept]

    @torch.inference_mode()
    def read(
        self,
        tasks: Sequence[Task],
        budgets: Sequence[int],
        listeners: Sequence[Listener],
        num_beams: int = 1,
    ) -> None:
        """Write the most probable texts, those of equal adapters together; each goes to its listener.

        A listener hears of its text when that has ended, and of a greedy one word by word if it wants to;
        whoever has gone ends it early. What `forward` raises, this raises before any text.

        Args:
            tasks: What to read.
            budgets: Longest text of each task, in tokens.
            listeners: One per task.
            num_beams: Hypotheses kept in parallel, compared by their probability per token, as in the papers'
                decoding (model facts 7); 1 is greedy. Nothing is ever sampled.
        """
        sequences = self._sequences(tasks)
        for group in self._groups(tasks):
            rows = [budgets[i] for i in group]
            heard = [listeners[i] for i in group]
            if num_beams > 1:
                self._read_with_beams(
                    [tasks[i] for i in group], [sequences[i] for i in group], rows, heard, num_beams
                )
                continue
            indices = group
            if self.captured_steps is not None:
                # A step is captured for every number of rows: they are filled up to a power of two.
                spare = (1 << (len(group) - 1).bit_length()) - len(group)
                indices, rows = group + group[-1:] * spare, rows + [0] * spare
            batch = self._assemble([tasks[i] for i in indices], [sequences[i] for i in indices])
            certainty = Certainty()
            follower = Follower(rows, self.tokens, heard, certainty, batch.embeddings_BLD.device)
            adapters = self._adapters(tasks[group[0]])
            if self.captured_steps is not None and self.captured_steps.read(
                self.llm, batch, max(rows), follower, adapters
            ):
                continue
            self._generate(
                batch,
                max(rows),
                logits_processor=[certainty],
                streamer=follower,
                stopping_criteria=[follower],
            )

    def _read_with_beams(
        self,
        tasks: Sequence[Task],
        sequences: Sequence[PrefixedText],
        budgets: Sequence[int],
        listeners: Sequence[Listener],
        num_beams: int,
    ) -> None:
        batch = self._assemble(tasks, sequences)
        limits = BeamLimits(budgets, listeners, batch.embeddings_BLD.device)
        ids_BL = self._generate(batch, max(budgets), num_beams=num_beams, stopping_criteria=[limits])
        chosen = zip(tasks, sequences, budgets, listeners, ids_BL.tolist(), strict=True)
        for task, sequence, budget, listener, row in chosen:
            if listener.gone:
                continue
            words = Words(self.tokens)
            words.ids = row[:budget]
            if self.tokens.eos_id in words.ids:
                words.ids = words.ids[: words.ids.index(self.tokens.eos_id) + 1]
            words.logprobs = self._score(task, sequence, words.ids)
            listener.ended(words.ended())

    def _score(self, task: Task, sequence: PrefixedText, ids: Sequence[int]) -> list[float]:
        """Return the log probability of each token after those before it.

        Beams that are left take theirs with them; one more pass costs less than to keep all of them.
        """
        prefix = self._assemble([task], [sequence]).embeddings_BLD
        ids_L = torch.tensor(ids, device=prefix.device)
        text = self.llm.get_input_embeddings()(ids_L[None, :-1])
        together = torch.cat([prefix, text], dim=1)
        logits_LV = self.llm(inputs_embeds=together, logits_to_keep=len(ids)).logits[0].float()
        logprobs: list[float] = logits_LV.log_softmax(dim=-1).gather(1, ids_L[:, None])[:, 0].tolist()
        return logprobs

    def rows(self, tasks: Sequence[Task]) -> list[list[list[int]]]:
        """Return which tasks are read in one pass, and in it which as one row, by index.

        A pass takes tasks with the same adapters; a row those that hear the same sound at the same rate,
        and would compute the same from it.
        """
        experts = self.llm.active_peft_config if self.method.experts is not None else None
        top_k = getattr(experts, "top_k", None)
        passes = []
        for indices in self._groups(tasks):
            rows: dict[tuple[object, ...], list[int]] = {}
            for index in indices:
                sound, scale = tasks[index].features.audio_TC, tasks[index].scale
                kept = top_k[self._trained(tasks[index])] if isinstance(top_k, list) else top_k
                alike = (index,) if sound is None else (id(sound), scale.audio_rate, kept)
                rows.setdefault(alike, []).append(index)
            passes.append(list(rows.values()))
        return passes

    def _groups(self, tasks: Sequence[Task]) -> list[list[int]]:
        """Return which tasks have the same adapters, by index."""
        found: dict[tuple[str, ...], list[int]] = {}
        for index, task in enumerate(tasks):
            found.setdefault(self._adapters(task), []).append(index)
        return list(found.values())

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return what fine-tuning changes: experts, routers and projectors."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _adapters(self, task: Task) -> tuple[str, ...]:
        return self.method.adapters(task.features.modality, self.scales[self._trained(task)])

    def _trained(self, task: Task) -> int:
        """Return the trained scale that a task is read as, by index: its own, or the nearest."""
        return self.scales.index(nearest_scale(task.scale, self.scales, task.features.modality))

    def _sequences(self, tasks: Sequence[Task]) -> list[PrefixedText]:
        """Compress and project what the tasks read."""
        for task in tasks:
            if not self.reads(task.scale):
                known = ", ".join(str(scale) for scale in self.scales)
                raise UnknownScaleError(
                    f"scale {task.scale} was not trained, and stacked frames of other rates fit no projector;"
                    f" the model has {known}"
                )
            if task.features.modality not in self.modalities:
                known = ", ".join(MODALITY_NAMES[modality] for modality in self.modalities)
                name = MODALITY_NAMES[task.features.modality]
                raise MediaError(f"{name} was not trained; the model reads {known}")
        audio = self._project(
            [t.features.audio_TC for t in tasks], [t.scale.audio_rate for t in tasks], self.audio_projectors
        )
        video = self._project(
            [t.features.video_TC for t in tasks], [t.scale.video_rate for t in tasks], self.video_projectors
        )
        return [PrefixedText(a, v, task.text) for a, v, task in zip(audio, video, tasks, strict=True)]

    def _assemble(self, tasks: Sequence[Task], sequences: Sequence[PrefixedText]) -> Assembled:
        """Put together the prefixes that one pass reads, and tell the LLM's adapters about it."""
        self._select_adapters(tasks)
        return assemble(sequences, self.tokens, self.llm.get_input_embeddings())

    def _select_adapters(self, tasks: Sequence[Task]) -> None:
        """Make the LLM read with the adapters of these tasks, one per row of the coming pass."""
        adapters = self._adapters(tasks[0])
        if adapters:
            select_adapters(self.llm, adapters)
        else:
            scales = [self._trained(task) for task in tasks]
            self.llm.base_model.select_scales(torch.tensor(scales))

    def _generate(self, batch: Assembled, max_new_tokens: int, **how: Any) -> Tensor:
        """Return the tokens ``(B, L)`` of the most probable texts, greedily unless ``how`` names beams."""
        ids_BL: Tensor = self.llm.generate(
            inputs_embeds=batch.embeddings_BLD,
            attention_mask=batch.attention_mask_BL,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=self.tokens.eos_id,
            pad_token_id=self.tokens.pad_id,
            **how,
        )
        return ids_BL

    def _project(
        self, frames: Sequence[Tensor | None], rates: Sequence[int], projectors: nn.ModuleDict
    ) -> list[Tensor | None]:
        """Compress and project each clip at its rate; a clip that several tasks read is projected once."""
        done: dict[tuple[int, int], Tensor] = {}
        trained = [int(rate) for rate in projectors]
        for rate in set(rates):
            clips = {id(f): f for f, r in zip(frames, rates, strict=True) if r == rate and f is not None}
            if not clips:
                continue
            tokens = [self.compress(clip, rate) for clip in clips.values()]
            pooled = torch.cat(tokens)
            around = neighbours(rate, trained)
            if len(around) == 1:
                (only,) = around
                projected = projectors[str(only)](pooled)
            else:
                # What the projectors say is mixed and not their weights: drawn apart, no column of one has
                # to do with the same column of the other.
                projected = torch.stack([s * projectors[str(r)](pooled) for r, s in around.items()]).sum(
                    dim=0
                )
            parts = projected.split([len(each) for each in tokens])
            done |= {(key, rate): each for key, each in zip(clips, parts, strict=True)}
        return [None if f is None else done[id(f), r] for f, r in zip(frames, rates, strict=True)]


def _kinds(rows: Sequence[Sequence[Task]]) -> list[list[int]]:
    """Number what tasks are read as, modality and scale, from 0."""
    numbers: dict[tuple[Modality, Scale], int] = {}
    return [
        [numbers.setdefault((task.features.modality, task.scale), len(numbers)) for task in row]
        for row in rows
    ]


def _in_one_piece(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """Lay the last positions of all rows side by side, before they are compared with all tokens.

    ``generate`` takes them out of the states of the prefixes. torch multiplies what does not lie in one piece
    row by row, and in bfloat16 on a CPU with a copy of the whole table for each: seconds, for 128,256 tokens.
    """
    (hidden_BLD,) = given
    # Not ``contiguous``: for one row it leaves the strides as they are, at which torch looks.
    return (hidden_BLD.clone(memory_format=torch.contiguous_format),) if hidden_BLD.dim() > 2 else given
