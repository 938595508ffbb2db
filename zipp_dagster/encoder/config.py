"""Settings of the encoder stage: the model, its training, inference and evaluation."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from zipp_dagster.section import Section

Architecture = Literal["gatv2", "graphsage", "lightgcn"]


class EncoderSettings(Section):
    """How encoders are built, trained, run over the whole graph, and compared."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {"device", "checkpoint_seconds", "inference_block_users"}
    )

    hidden: int = Field(64, ge=4, le=1024, description="Width of embeddings and hidden states.")
    heads: int = Field(4, ge=1, le=16, description="Attention heads; must divide `hidden`.")
    layers: int = Field(2, ge=1, le=4, description="Message-passing layers (the paper has 2).")
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Dropout on hidden states.")
    id_dropout: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="Share of communities whose learned id vector is hidden in a training step, "
        "so that communities unknown to the model still embed by their text.",
    )

    epochs: int = Field(60, ge=1, description="Most passes over the training users.")
    epoch_users: int | None = Field(
        None,
        ge=2,
        description="Users read in an epoch, others in each; none: all. With millions of users an "
        "epoch of all would be hours, and a validation comes after an epoch at the earliest.",
    )
    users_per_batch: int = Field(256, ge=2, description="Users in a batch.")
    max_edges: int = Field(32, ge=2, description="Links of a user in a batch, targets included.")
    target_share: float = Field(
        0.3, gt=0.0, lt=1.0, description="Share of a user's links taken out as targets."
    )
    negatives: int = Field(
        1024,
        ge=8,
        description="Communities in the softmax's denominator; all of them where there are fewer.",
    )
    lr: float = Field(5e-3, gt=0.0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(1e-2, ge=0.0, description="Weight decay of AdamW.")
    warmup_share: float = Field(
        0.05, ge=0.0, le=0.5, description="Share of steps with rising rate."
    )
    clip_norm: float = Field(1.0, gt=0.0, description="Largest gradient norm.")
    image_align_weight: float = Field(
        0.1, ge=0.0, description="Weight of ImageAlign beside the link loss; 0 turns it off."
    )
    temperature: float = Field(0.1, gt=0.0, description="Temperature of ImageAlign's InfoNCE.")
    images_per_user: int = Field(4, ge=1, description="Images of a user drawn for a batch.")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 turns on autocast; parameters stay fp32."
    )
    device: str = Field("auto", description="auto (CUDA where there is one), cpu, cuda or cuda:N.")
    train_workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that train together, each on its share of a batch's users: on this "
        "machine, or on the cluster of compute.engine=ray.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="CPU threads of a training step. Batches are small: more threads gain little, "
        "and the last bits of the weights depend on their number.",
    )
    seed: int = Field(0, ge=0, description="Seed of initial weights, batches and negatives.")

    validation_k: int = Field(10, ge=1, description="Early stopping watches hits@k for this k.")
    validation_every: int = Field(2, ge=1, description="Epochs between two validations.")
    validation_users: int = Field(20_000, ge=10, description="Most users read by a validation.")
    patience: int = Field(
        8, ge=1, description="Validations without a better score before stopping."
    )
    checkpoint_seconds: float = Field(
        60.0, ge=0.0, description="Seconds between two checkpoints; 0 writes one after every step."
    )

    inference_block_users: int = Field(50_000, ge=1, description="Users in one inference block.")
    inference_lanes: int = Field(
        2,
        ge=1,
        le=256,
        description="User ranges (threads) of inference; the last bits of the result depend on it.",
    )
    tuning_variants: int = Field(
        2,
        ge=1,
        le=4,
        description="Variants of each encoder that a comparison tries, with 6 popularity weights "
        "each: the same number for all. For a trained encoder each is a training.",
    )
    ablation_seeds: int = Field(
        2, ge=1, le=20, description="Trainings of each encoder in the ablation, by seed."
    )
    evaluation_users: int = Field(
        100_000,
        ge=10,
        description="Most users whose held-out links an evaluation ranks, and most users whose "
        "images it looks for: a fixed sample where there are more.",
    )
    rankings_kept: int = Field(64, ge=1, description="Communities kept per user and ranking.")
    bootstrap: int = Field(1000, ge=10, description="Resamples of users for an interval.")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(
                f"encoder.hidden {self.hidden} must be a multiple of heads {self.heads}"
            )
        return self
