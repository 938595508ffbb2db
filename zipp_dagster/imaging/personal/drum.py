"""DrUM: an adapter over the text encoder mixes a prompt's states with those of the user's prompts.

Attention over the prompt's own tokens and over those of the reference prompts is mixed with a
weight `alpha` (Kim et al., DrUM, 2025). The adapter is trained once, for all users, on captions
alone: from a caption's first segment and other captions with the same rest it must find the states
of the whole caption (cosine loss). Per user, only the reference prompts are encoded; a greedy
coreset may keep a share of a long history.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.personal.base import Fitted, History, cost_of, draw_batches
from zipp_dagster.imaging.personal.text_states import TextStates, prompt_states, text_states
from zipp_dagster.imaging.pipelines import LoadedPipeline
from zipp_dagster.progress import Progress, silent

ALPHA = 0.3


class DrumAdapter(nn.Module):
    """States of a prompt [n, tokens, width] and of references [n, m, width] to mixed states."""

    def __init__(self, width: int, alpha: float = ALPHA, heads: int = 4) -> None:
        super().__init__()
        self.width, self.alpha, self.heads = width, alpha, heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm_after = nn.LayerNorm(width)
        narrow = nn.Linear(2 * width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), narrow)
        for last in (self.out, narrow):  # starts as the identity
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, prompt: Tensor, references: Tensor) -> Tensor:
        """States of the same shape as `prompt`."""
        q, own, other = self.query(self.norm(prompt)), self.norm(prompt), self.norm(references)
        mixed = (1 - self.alpha) * self._attend(q, own) + self.alpha * self._attend(q, other)
        x = prompt + self.out(mixed)
        return x + self.feed(self.norm_after(x))

    def _attend(self, query: Tensor, read: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (query, self.key(read), self.value(read))
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def save(self, path: Path) -> None:
        """Writes safetensors with the shapes in their metadata."""
        weights = {key: value.contiguous() for key, value in self.state_dict().items()}
        facts = {"width": str(self.width), "alpha": str(self.alpha), "heads": str(self.heads)}
        save_file(weights, path, metadata=facts)

    @classmethod
    def load(cls, path: Path) -> DrumAdapter:
        """What `save` wrote; raises FileNotFoundError where there is nothing."""
        with safe_open(path, framework="pt") as stored:
            facts = stored.metadata()
            weights = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        adapter = cls(int(facts["width"]), float(facts["alpha"]), int(facts["heads"]))
        adapter.load_state_dict(weights)
        return adapter.eval().requires_grad_(False)


def train_adapter(
    loaded: LoadedPipeline,
    captions: Sequence[Sequence[str]],
    steps: int = 150,
    batch: int = 16,
    references: int = 3,
    rate: float = 1e-3,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[DrumAdapter, list[float]]:
    """Trains an adapter for a pipeline's text encoder; returns it and the loss of every step.

    `captions` are groups of captions of one taste each: the segments after the first comma say the
    same in all of a group. Raises ValueError when no group has `references` + 1 captions.
    """
    groups = [list(group) for group in captions if len(group) > references]
    if not groups:
        raise ValueError(f"drum: no group of captions has {references + 1} of them")
    width = int(prompt_states(loaded, [groups[0][0]]).shape[-1])
    torch.manual_seed(seed)
    adapter = DrumAdapter(width).to(loaded.device)
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=rate, weight_decay=0.01)
    losses = []
    for step in range(steps):
        rng = np.random.default_rng([seed, 11, step])
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20, 2 * (steps - step) / steps)
        chosen = [groups[int(i)] for i in rng.integers(len(groups), size=batch)]
        picked = [[g[int(i)] for i in rng.permutation(len(g))[: references + 1]] for g in chosen]
        texts = [row[0] for row in picked] + [row[0].split(",")[0] for row in picked]
        texts += [text for row in picked for text in row[1:]]
        whole, bare, others = prompt_states(loaded, texts).split((batch, batch, batch * references))
        out = adapter(bare, others.reshape(batch, -1, width))
        loss = (1 - F.cosine_similarity(out, whole, dim=-1)).mean()
        # The cosine leaves lengths free, and the generator does read them.
        loss = loss + 0.1 * (out.norm(dim=-1) / whole.norm(dim=-1) - 1).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        progress(step + 1, steps, f"DrUM adapter loss {losses[-1]:.4f}")
    return adapter.eval().requires_grad_(False), losses


def coreset(embeddings: np.ndarray, keep: int) -> list[int]:
    """Greedy k-centre: row numbers of `keep` embeddings [n, dim] that lie far from each other.

    Starts with the row nearest to the mean; ties go to the earlier row.
    """
    if keep >= len(embeddings):
        return list(range(len(embeddings)))
    first = int(np.linalg.norm(embeddings - embeddings.mean(0), axis=1).argmin())
    chosen = [first]
    distance = np.linalg.norm(embeddings - embeddings[first], axis=1)
    while len(chosen) < keep:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(embeddings - embeddings[chosen[-1]], axis=1))
    return chosen


class Drum:
    """The adapter as a personal method.

    `keep` is the share of a history that its coreset keeps (1 = all), at most `most` prompts.
    """

    name = "drum"

    def __init__(self, adapter: DrumAdapter, keep: float = 1.0, most: int = 16) -> None:
        self.adapter, self.keep, self.most = adapter, keep, most

    def fit(
        self, loaded: LoadedPipeline, history: History, settings: ImagingSettings, seed: int = 0
    ) -> Fitted:
        """States of the reference prompts; ValueError without any, or for another encoder."""
        prompts = list(history.liked_prompts)
        if not prompts:
            raise ValueError("drum: the user's history has no prompts")
        fitted = Fitted(None, 0.0, 0.0)
        with cost_of(fitted):
            states = prompt_states(loaded, prompts)
            if states.shape[-1] != self.adapter.width:
                raise ValueError(
                    f"drum: the adapter was trained for states of width {self.adapter.width}, "
                    f"{type(loaded.pipeline).__name__} has {states.shape[-1]}: train one for it"
                )
            count = min(self.most, max(1, round(self.keep * len(prompts))))
            rows = coreset(states.mean(1).cpu().numpy(), count)
            fitted.state = states[rows].reshape(1, -1, states.shape[-1])
        fitted.numbers = {"references": float(len(rows))}
        return fitted

    def draw(
        self,
        loaded: LoadedPipeline,
        fitted: Fitted,
        prompts: Sequence[str],
        seeds: Sequence[int],
        settings: ImagingSettings,
    ) -> np.ndarray:
        """Images of prompts in mixed states, uint8 [n, size, size, 3]."""

        @torch.no_grad()
        def conditioning(batch: Sequence[str]) -> dict[str, Any]:
            states = text_states(loaded, batch)
            references = fitted.state.expand(len(batch), *fitted.state.shape[1:])
            mixed = self.adapter.to(loaded.device)(states.prompt, references)
            kept = TextStates(mixed, states.negative, states.pooled, states.negative_pooled)
            return kept.arguments(loaded)

        return draw_batches(loaded, prompts, seeds, settings, conditioning)
