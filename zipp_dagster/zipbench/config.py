"""Settings of the benchmark and of the promotion rule. Nothing but numbers and paths lives here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from zipp_dagster.persona.config import LanguageModelSettings
from zipp_dagster.section import Section


class ZipbenchSettings(Section):
    """Which users and cases the benchmark takes, and how their scores are summarised."""

    users: int = Field(
        default=100, ge=1, description="Benchmark users, selected by hash(user_id, seed)."
    )
    development_users: int = Field(
        default=100,
        ge=0,
        description="Further users, held out likewise, by whom candidate models are compared with "
        "champions; the benchmark never reports them.",
    )
    holdout_posts: int = Field(
        default=2,
        ge=1,
        le=50,
        description="Latest image posts of each benchmark user that are held out.",
    )
    min_history_posts: int = Field(
        default=3, ge=0, description="Image posts that must remain visible after the hold-out."
    )
    min_comments: int = Field(
        default=10, ge=0, description="Comments that a benchmark user must have."
    )
    seed: int = Field(default=7, ge=0, description="Seed of the selection, and of every bootstrap.")
    bootstrap_replicates: int = Field(
        default=2000, ge=100, le=100_000, description="Resamples of users behind each interval."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Coverage of the intervals."
    )
    leak_token_f1: float = Field(
        default=0.8,
        gt=0.0,
        le=1.0,
        description="Titles of one user with a token F1 of at least this count as the same prompt.",
    )
    minimum_group: int = Field(
        default=20,
        ge=20,
        description="Users below which no statistic of a demographic group is published.",
    )
    raking_dimensions: tuple[str, ...] = Field(
        default=("age_band", "gender", "region"),
        description="Demographic dimensions that are raked; more need more benchmark users.",
    )
    raking_minimum: int = Field(
        default=10,
        ge=1,
        description="People below which a category is merged with another before raking; raised "
        "by halves where the margins still contradict each other.",
    )
    raking_iterations: int = Field(default=1000, ge=1, description="Most sweeps of the raking.")
    raking_tolerance: float = Field(
        default=5e-4,
        gt=0.0,
        lt=0.1,
        description="Largest difference of a weighted share from its target.",
    )
    raking_trim: float = Field(
        default=5.0,
        gt=1.0,
        description="Cap of a trimmed weight, as a multiple of the mean weight.",
    )
    minimum_confidence: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Confidence that a persona's demographic claim needs to count in raking.",
    )
    wpp_age_file: Path | None = Field(
        default=None,
        description="WPP2024_PopulationByAge5GroupSex_Medium.csv.gz of the UN, for the ages of real "
        "people's target population; none: gender and region only.",
    )
    votes_dir: Path | None = Field(
        default=None,
        description="Folder with human votes (CSV or Parquet); none means no study yet.",
    )
    show_real_personas: bool = Field(
        default=False, description="Show personas, prompts and images of real people in the report."
    )
    gallery_size: int = Field(
        default=12, ge=0, le=200, description="Cases in the report's gallery."
    )
    gallery_pixels: int = Field(
        default=320, ge=32, le=2048, description="Longest side of an image that the report embeds."
    )


class MethodSettings(Section):
    """Which of the registered methods are run."""

    run: tuple[str, ...] = Field(
        default=(),
        description="Names of methods, with no_persona among them; empty: all that can run.",
    )
    personal_users: int = Field(
        default=3,
        ge=0,
        description="Benchmark users for whom methods run that learn each of them (FABRIC, ViPer, "
        "DrUM, LoRA); the same people for all. 0 leaves these methods out.",
    )
    lora_steps: int = Field(
        default=30,
        ge=1,
        description="Training steps of a person's LoRA, of lora_batch pictures each.",
    )
    lora_batch: int = Field(
        default=8,
        ge=1,
        description="Pictures of a LoRA's training step; what does not fit into memory at once is "
        "added up.",
    )
    lora_rate: float = Field(
        default=2e-3,
        gt=0.0,
        description="Learning rate of a LoRA: large generators need a smaller one than small ones.",
    )
    lora_images: int = Field(
        default=64, ge=1, description="Latest pictures of a person that a LoRA is trained on."
    )
    drum_steps: int = Field(
        default=60, ge=1, description="Training steps of DrUM's adapter, once for everybody."
    )
    fabric_images: int = Field(
        default=4, ge=1, le=64, description="Latest pictures of a person that FABRIC attends to."
    )


class AblationSettings(Section):
    """Which variants are compared in pictures, and for how many people."""

    users: int = Field(
        default=12, ge=2, description="Benchmark users of the ablations, the same for all variants."
    )
    language_models: tuple[LanguageModelSettings, ...] = Field(
        default=(),
        description="Further language models that rewrite prompts, each as persona.language_model is "
        "written; the run's own is always among those compared.",
    )
    generators: tuple[str, ...] = Field(
        default=(),
        description="Further diffusers directories that draw; the run's own is always compared.",
    )


class JudgeSettings(Section):
    """Which reward model or comparing model judges pictures, if any."""

    operational: ClassVar[frozenset[str]] = frozenset({"device"})

    kind: Literal["pickscore", "hpsv2", "imagereward", "vlm"] | None = Field(
        default=None,
        description="Reward model, or vlm (PIGReward and others that compare two pictures); none: "
        "no judge, and no column of it.",
    )
    model: str = Field(
        default="", description="Directory, file or hub id; empty: where its authors publish it."
    )
    revision: str | None = Field(default=None, description="Pinned hub revision.")
    tokenizer: str = Field(
        default="", description="Tokenizer where the checkpoint has none (hpsv2, imagereward)."
    )
    device: str = Field(default="auto", description="Torch device.")
    max_new_tokens: int = Field(
        default=16, ge=1, description="Longest answer of a comparing model, in tokens."
    )


class PromotionSettings(Section):
    """When a candidate model takes the champion's place."""

    minimum_gain: float = Field(
        default=0.0,
        description="Mean gain in the primary metric that a candidate needs over the champion.",
    )
    tolerance: float = Field(
        default=0.01,
        ge=0.0,
        description="How far the interval of a primary or guard gain may reach below zero.",
    )
    benchmark_tolerance: float = Field(
        default=0.02,
        ge=0.0,
        description="The same for the development benchmark, which has fewer users.",
    )
    first_must_win: bool = Field(
        default=False,
        description="Whether the first candidate must clearly beat popularity to become champion; "
        "otherwise any valid one serves until a better one comes.",
    )
    minimum_users: int = Field(
        default=20, ge=2, description="Users below which no decision is made: the champion is kept."
    )
