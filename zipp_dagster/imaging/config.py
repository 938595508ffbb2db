"""Settings of image training, loading and generation. Nothing but settings lives here."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from zipp_dagster.section import Section


class TrainingSettings(Section):
    """Sizes of the small models' training; one optimiser step sees one batch."""

    seed: int = Field(0, ge=0, description="Seed of every training run but the two judges'.")
    judge_seed: int = Field(
        1000, ge=0, description="Seed of the evaluation encoder's and the classifier's own runs."
    )
    threads: int = Field(1, ge=1, description="Threads of PyTorch while training.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="bf16 = automatic mixed precision; fp32 where the processor lacks it."
    )
    save_every_s: float = Field(120.0, gt=0, description="Seconds between resumable states.")
    text_steps: int = Field(700, ge=1, description="Steps of CLIP's text tower.")
    vision_steps: int = Field(900, ge=1, description="Steps of CLIP's vision tower.")
    vae_steps: int = Field(6000, ge=1, description="Steps of the autoencoder.")
    unet_steps: int = Field(8100, ge=1, description="Steps of the denoising U-Net.")
    evaluation_steps: int = Field(400, ge=1, description="Steps of the evaluation encoder.")
    classifier_steps: int = Field(1000, ge=1, description="Steps of the factor classifier.")
    text_batch: int = Field(128, ge=2, description="Captions a step.")
    vision_batch: int = Field(64, ge=2, description="Pictures a step.")
    vae_batch: int = Field(16, ge=2, description="Pictures a step.")
    unet_batch: int = Field(64, ge=2, description="Latents a step.")
    judge_batch: int = Field(96, ge=2, description="Pictures a step of both judges.")
    pool_blocks: int = Field(24, ge=1, description="Blocks of pre-computed latents.")
    pool_block: int = Field(4096, ge=8, description="Latents a block.")
    pool_growth: int = Field(100, ge=1, description="Steps after which one more block is drawn.")


class ImagingSettings(Section):
    """Which models draw and judge the images, and how."""

    operational: ClassVar[frozenset[str]] = frozenset(
        {"device", "offload", "attention", "compile", "batch_size", "lanes", "shard_size"}
    )

    model: str | None = Field(
        None, description="Diffusers directory or hub id; empty = the packaged small model."
    )
    revision: str | None = Field(None, description="Pinned revision of a hub model.")
    variant: str | None = Field(
        None, description="Which stored weights of the model, such as fp16; empty = the main ones."
    )
    vision_model: str | None = Field(
        None, description="CLIP-class directory or hub id for image embeddings; empty = packaged."
    )
    vision_revision: str | None = Field(None, description="Pinned revision of a hub vision model.")
    evaluation_model: str | None = Field(
        None, description="Encoder of the evaluation (CLIP or DINO class); empty = packaged."
    )
    evaluation_revision: str | None = Field(
        None, description="Pinned revision of a hub evaluation encoder."
    )
    text_model: str | None = Field(
        None, description="Sentence encoder for documents; empty = TF-IDF and SVD, fitted here."
    )
    text_revision: str | None = Field(
        None, description="Pinned revision of a hub sentence encoder."
    )
    text_dim: int = Field(64, ge=2, description="Width of the TF-IDF and SVD text embedding.")
    steps: int = Field(6, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(3.0, ge=0.0, le=50.0, description="Classifier-free guidance scale.")
    guidance_rescale: float = Field(
        0.7, ge=0.0, le=1.0, description="Guidance rescale, where the pipeline knows it."
    )
    guidance_rest: tuple[float, float] = Field(
        (0.1, 0.8),
        description="Share of the steps from which and up to which guidance rests: such a step "
        "costs half. The first step is always guided; equal values: guidance never rests.",
    )
    scheduler: str | None = Field(
        None, description="A diffusers scheduler class; empty = the one saved with the model."
    )
    scheduler_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description='Its options, such as {"algorithm_type": "sde-dpmsolver++"}.',
    )
    batch_size: int = Field(32, ge=1, description="Images drawn at once.")
    lanes: int | None = Field(
        None,
        ge=1,
        description="Batches drawn side by side; empty = one for each thread where a small model "
        "runs on a CPU, else one.",
    )
    image_size: int = Field(64, ge=8, description="Height and width of a generated image.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Precision of generation; auto = bfloat16 where the device is fast at it.",
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    offload: Literal["none", "model", "layers"] = Field(
        "none",
        description="What waits in main memory while it does not run: models (little slower) or "
        "single layers (least accelerator memory). Without an accelerator nothing has to.",
    )
    attention: Literal["auto", "sdpa", "plain", "sliced"] = Field(
        "auto",
        description="plain = matrix products, sliced = least memory, sdpa = PyTorch's fused "
        "kernels; auto = plain where latents are small and on a CPU, else sdpa.",
    )
    compile: str | None = Field(
        None, description="torch.compile backend of the denoiser, such as inductor; empty = off."
    )
    shard_size: int = Field(512, ge=1, description="Images of one resumable Parquet shard.")
    seed: int = Field(0, ge=0, description="Seed of the images' own seeds.")
    retrain: bool = Field(False, description="Train the small models instead of the packaged ones.")
    training: TrainingSettings = Field(default_factory=TrainingSettings)

    @model_validator(mode="after")
    def _rest_is_an_interval(self) -> Self:
        start, end = self.guidance_rest
        if not 0 <= start <= end <= 1:
            raise ValueError(
                f"imaging.guidance_rest {[start, end]}: two shares of the steps, 0 <= from <= to <= 1"
            )
        return self
