"""Loading a diffusers pipeline of any class: the packaged small one, a directory, or a hub id.

Only loading and what a loaded pipeline says about itself live here; drawing is in `generation.py`.
"""

# ruff: noqa: TID253  (diffusers: this module's subject)
from __future__ import annotations

import contextlib
import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor

from zipp_dagster.imaging.config import ImagingSettings
from zipp_dagster.imaging.models_path import packaged
from zipp_dagster.imaging.stored_models import refuse_pickles

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class LoadedPipeline:
    """A pipeline ready to draw, with the version that addresses its images."""

    pipeline: Any
    version: str
    source: str
    device: str
    autocast: torch.dtype | None = None

    def arguments(self) -> set[str]:
        """The keyword arguments that this pipeline class understands."""
        return set(inspect.signature(self.pipeline.__call__).parameters)

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """What its models run under: matrix products in `autocast`, where that is set."""
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast("cpu", self.autocast)


def pick_device(device: str) -> str:
    """`auto` becomes cuda where there is one, else cpu."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def effective_dtype(settings: ImagingSettings) -> str:
    """The precision that `auto` stands for on this machine; part of every request key."""
    if settings.dtype != "auto":
        return settings.dtype
    if pick_device(settings.device) != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def directory_version(directory: Path) -> str:
    """SHA-256 (first 16 hex digits) over names and bytes of the model files under a directory."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.name == "card.json":  # what is said about the model, not the model
            continue
        if path.suffix in {".json", ".safetensors", ".txt", ".model"} and path.is_file():
            digest.update(path.relative_to(directory).as_posix().encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def resolve_model(model: str | Path | None, packaged_name: str, setting: str) -> str | Path:
    """A directory where there is one, else a hub id; None is the packaged model.

    Raises FileNotFoundError, naming the setting, for what looks like a path and does not exist.
    """
    if model is None or model == "":
        return packaged(packaged_name)
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    text = str(model)
    if isinstance(model, Path) or text.startswith((".", "/", "~")) or text.count("/") != 1:
        raise FileNotFoundError(
            f"{setting}={text!r}: there is no such directory, and it is no hub id (owner/name)"
        )
    return text


def load_pipeline(
    model: str | Path | None, revision: str | None, settings: ImagingSettings
) -> LoadedPipeline:
    """Loads a pipeline from safetensors only and places it on its device.

    Raises FileNotFoundError for a missing directory, StoredModelError for a pickle checkpoint,
    OSError for an unreachable hub model and ValueError for an unknown scheduler; each names the
    setting.
    """
    source = resolve_model(model, "generator", "imaging.model")
    if isinstance(source, Path):
        refuse_pickles(source, "imaging.model")
    device = pick_device(settings.device)
    dtype = _DTYPES[effective_dtype(settings)]
    # On a CPU the weights stay in float32 and matrix products run in bf16: as fast, and exact
    # latents.
    autocast = dtype if device == "cpu" and dtype == torch.bfloat16 else None
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            str(source),
            revision=revision,
            variant=settings.variant,
            use_safetensors=True,
            dtype=torch.float32 if device == "cpu" else dtype,
        )
    except (OSError, ValueError) as error:
        raise OSError(
            f"imaging.model={str(source)!r} (imaging.revision={revision!r}) could not be loaded: "
            f"{error}. Give a diffusers directory with safetensors weights, or reach the hub."
        ) from error
    set_scheduler(pipeline, settings)
    pipeline.set_progress_bar_config(disable=True)
    _set_attention(pipeline, settings, device)
    if settings.offload == "model" and device != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    elif settings.offload == "layers" and device != "cpu":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if device == "cpu" and autocast is None:
        _channels_last(pipeline)
    if settings.compile:
        denoiser(pipeline).compile(backend=settings.compile)
    if isinstance(source, Path):
        version = directory_version(source)
    else:
        version = hashlib.sha256(f"{source}@{revision or 'main'}".encode()).hexdigest()[:16]
    if settings.variant:
        version = hashlib.sha256(f"{version}:{settings.variant}".encode()).hexdigest()[:16]
    return LoadedPipeline(pipeline, version, str(source), device, autocast)


def _channels_last(pipeline: Any) -> None:
    """The layout in which convolutions in float32 are fastest on a CPU."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def denoiser(pipeline: Any) -> Any:
    """The U-Net or diffusion transformer of a pipeline."""
    found = getattr(pipeline, "unet", None)
    return found if found is not None else pipeline.transformer


def set_scheduler(pipeline: Any, settings: ImagingSettings) -> None:
    """Puts the wanted scheduler in the place of the saved one, with its options.

    Latents are never clipped to -1..1 (the default of some classes), which is for pixels. Raises
    ValueError, naming the setting, for a class or option that diffusers does not have.
    """
    if settings.scheduler is None and not settings.scheduler_options:
        return
    kind: Any = type(pipeline.scheduler)
    if settings.scheduler is not None:
        kind = getattr(diffusers, settings.scheduler, None)
        if kind is None or not hasattr(kind, "from_config"):
            raise ValueError(f"imaging.scheduler={settings.scheduler!r} is no diffusers scheduler")
    known = set(inspect.signature(kind.__init__).parameters)
    unknown = sorted(set(settings.scheduler_options) - known)
    if unknown:
        raise ValueError(
            f"imaging.scheduler_options: {kind.__name__} has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(known - {'self'}))}"
        )
    options: dict[str, Any] = {"clip_sample": False} if "clip_sample" in known else {}
    options |= settings.scheduler_options
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **options)


# Up to 16 x 16 latents PyTorch's fused attention costs more than it saves on a CPU.
_SMALL_LATENTS = 16


def _set_attention(pipeline: Any, settings: ImagingSettings, device: str) -> None:
    chosen = settings.attention
    unet = getattr(pipeline, "unet", None)
    if chosen == "auto":
        small = unet is not None and unet.config.sample_size <= _SMALL_LATENTS
        chosen = "plain" if small and device == "cpu" else "sdpa"
    if chosen == "sliced":
        pipeline.enable_attention_slicing()
    elif chosen == "plain":
        if unet is None:
            raise ValueError(
                f"imaging.attention=plain: {type(pipeline).__name__} has a transformer, whose own "
                "attention stays; set sdpa or auto"
            )
        unet.set_attn_processor(AttnProcessor())


def token_limits(pipeline: Any) -> list[tuple[Any, int]]:
    """Each tokenizer of a pipeline with the number of tokens that its text encoder reads."""
    parameters = inspect.signature(pipeline.__call__).parameters
    longest = parameters.get("max_sequence_length")
    found = []
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer = getattr(pipeline, name, None)
        if tokenizer is None:
            continue
        limit = int(min(tokenizer.model_max_length, 1_000_000))
        if type(tokenizer).__name__.startswith("T5") and longest is not None:
            limit = min(limit, int(longest.default))
        found.append((tokenizer, limit))
    return found


def is_truncated(pipeline: Any, prompt: str) -> bool:
    """Whether even the text encoder with the longest limit cuts this prompt."""
    limits = token_limits(pipeline)
    cut = [
        len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"]) > limit
        for tokenizer, limit in limits
    ]
    return bool(cut) and all(cut)
