"""Trained encoders on disk: safetensors, a config, the communities' names. No pickle anywhere.

What lives here: the model directory and its plain-array view. What does not: torch modules (their
construction is in `models`), so that inference imports neither torch nor PyG.

Layout of a model directory: `model.safetensors`, `config.json` (`ModelConfig`), `subreddits.json`
(names in the order of the id table), `history.json` (a row per validation).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from zipp_dagster.encoder.config import Architecture


class ModelError(ValueError):
    """A model directory is missing, damaged, or does not fit the data."""


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to rebuild an encoder; training settings are beside it for the record."""

    architecture: Architecture
    subreddits: int
    text_dim: int
    hidden: int
    heads: int
    layers: int
    image_dim: int | None
    image_align: str
    training: dict[str, object]


@dataclass(frozen=True)
class StoredModel:
    """A model directory as plain arrays."""

    config: ModelConfig
    tensors: dict[str, np.ndarray]
    subreddit_names: tuple[str, ...]

    def aligned_ids(self, names: Sequence[str]) -> Float32[np.ndarray, "subreddits hidden"]:
        """The id vectors of these communities; zeros (as in id dropout) for unknown ones."""
        table = self.tensors["subreddit_id.weight"]
        row_of = {name: row for row, name in enumerate(self.subreddit_names)}
        rows = np.array([row_of.get(name, -1) for name in names], dtype=np.int64)
        return np.where(rows[:, None] >= 0, table[rows], np.float32(0.0))

    def image_head(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Weight and bias from embeddings to image space; None without ImageAlign."""
        if self.config.image_dim is None:
            return None
        return self.tensors["image_head.weight"], self.tensors["image_head.bias"]


def save_model(
    out_dir: Path,
    config: ModelConfig,
    tensors: dict[str, np.ndarray],
    subreddit_names: Sequence[str],
    history: list[dict[str, float]],
) -> None:
    """Write a model directory; the same model gives the same bytes."""
    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    save_file(ordered, out_dir / "model.safetensors")
    (out_dir / "config.json").write_text(
        json.dumps(asdict(config), indent=1, sort_keys=True) + "\n"
    )
    (out_dir / "subreddits.json").write_text(json.dumps(list(subreddit_names)) + "\n")
    (out_dir / "history.json").write_text(json.dumps(history, indent=1) + "\n")


def load_model(directory: Path) -> StoredModel:
    """Read a model directory.

    Raises:
        ModelError: a missing or damaged file, or weights that are not finite.
    """
    try:
        config = ModelConfig(**json.loads((directory / "config.json").read_text()))
        names = tuple(json.loads((directory / "subreddits.json").read_text()))
        tensors = load_file(directory / "model.safetensors")
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} is missing: {directory} is no encoder.") from error
    except (SafetensorError, json.JSONDecodeError, TypeError) as error:
        raise ModelError(f"{directory} is damaged ({error}); train the encoder again.") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(f"{directory / 'model.safetensors'}: {name} is not finite.")
    if len(names) != config.subreddits:
        raise ModelError(
            f"{directory / 'subreddits.json'} names {len(names)} communities, "
            f"config.json says {config.subreddits}."
        )
    return StoredModel(config, tensors, names)


def load_history(directory: Path) -> list[dict[str, float]]:
    """The rows of a model's training curve."""
    return json.loads((directory / "history.json").read_text())
