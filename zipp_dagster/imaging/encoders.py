"""Image and text encoders: CLIP class, DINO class, our own evaluation encoder, the judge.

One interface for all: `embed_images(list of encoded images) -> float32 [n, dim]`, unit norm. Images
are prepared by the model's own `preprocessor_config.json`, with Pillow (no torchvision needed).
"""

# ruff: noqa: TID253  (torch and transformers: this module's subject)
from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPModel
from transformers.utils import cached_file

from zipp_dagster.imaging.convnet import ConvNet, load_convnet
from zipp_dagster.imaging.dataset import IMAGE_SIZE
from zipp_dagster.imaging.pipelines import directory_version, pick_device, resolve_model
from zipp_dagster.imaging.train_factor_classifier import SIZES
from zipp_dagster.progress import Progress, silent
from zipp_dagster.sampleworld.vocabulary import FACTOR_NAMES, FACTOR_VALUES

EVALUATION_KIND = "zipp_evaluation_encoder"
CLASSIFIER_KIND = "zipp_factor_classifier"
DECODED = 1024
"""Encoded images that are held as pixels at once: 50 MB as float32 at 64 x 64."""


class ImageEncoder(Protocol):
    """What every image encoder offers."""

    name: str
    version: str
    dim: int

    def embed_images(self, images: Sequence[bytes], progress: Progress = silent) -> np.ndarray:
        """Unit-norm embeddings, float32 [n, dim]."""
        ...


@dataclass(frozen=True)
class Preparation:
    """How an image becomes a tensor: shorter side, crop, mean and spread of each channel."""

    size: int = IMAGE_SIZE
    crop: int = IMAGE_SIZE
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    spread: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def of(cls, source: str | Path, revision: str | None = None) -> Preparation:
        """Reads `preprocessor_config.json` of a directory or a hub model."""
        path = cached_file(str(source), "preprocessor_config.json", revision=revision)
        config = json.loads(Path(str(path)).read_text(encoding="utf-8"))

        def side(value: Any) -> int:
            if isinstance(value, dict):
                return int(value.get("shortest_edge") or value["height"])
            return int(value)

        size = side(config.get("size", 224))
        crop = side(config["crop_size"]) if config.get("do_center_crop", False) else size
        return cls(size, crop, tuple(config["image_mean"]), tuple(config["image_std"]))

    def apply(self, images: Sequence[bytes]) -> torch.Tensor:
        """Encoded images to float32 [n, 3, crop, crop].

        Raises ValueError, with its position, for bytes that are no image.
        """
        tensors = []
        for position, data in enumerate(images):
            try:
                image = Image.open(io.BytesIO(data)).convert("RGB")
            except OSError as error:
                raise ValueError(f"image {position} cannot be decoded: {error}") from error
            scale = self.size / min(image.size)
            wide = (
                max(self.crop, round(image.width * scale)),
                max(self.crop, round(image.height * scale)),
            )
            if wide != image.size:
                image = image.resize(wide, Image.Resampling.BICUBIC)
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
            tensors.append(np.asarray(image, dtype=np.float32) / 255)
        pixels = (np.stack(tensors) - np.array(self.mean)) / np.array(self.spread)
        return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))


class _Batched(ABC):
    """Batching and normalisation; subclasses turn a prepared tensor into features."""

    def __init__(self, name: str, version: str, preparation: Preparation, device: str) -> None:
        self.name, self.version, self.preparation = name, version, preparation
        self.device, self.dim, self.batch = device, 0, 64

    @abstractmethod
    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of prepared pixels, [n, dim]."""

    @torch.no_grad()
    def embed_images(self, images: Sequence[bytes], progress: Progress = silent) -> np.ndarray:
        """Unit-norm embeddings, float32 [n, dim]."""
        out = np.zeros((len(images), self.dim), dtype=np.float32)
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            features = self.features(self.preparation.apply(part).to(self.device)).float()
            out[start : start + len(part)] = F.normalize(features, dim=1).cpu().numpy()
            progress(start + len(part), len(images), "image embeddings")
        return out


class ClipEncoder(_Batched):
    """A `CLIPModel`: images and texts in one space."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        version: str,
        preparation: Preparation,
        device: str,
    ) -> None:
        super().__init__(name, version, preparation, device)
        self.model, self.tokenizer = model.to(device).eval(), tokenizer
        self.dim = int(model.visual_projection.out_features)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Projected image features."""
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return self.model.visual_projection(pooled)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        """Unit-norm text embeddings, float32 [n, dim]; texts are cut at the model's limit."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), self.batch):
            part = list(texts[start : start + self.batch])
            ids = self.tokenizer(
                part,
                padding="max_length",
                truncation=True,
                max_length=self.model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            )["input_ids"].to(self.device)
            pooled = self.model.text_model(input_ids=ids).pooler_output
            unit = F.normalize(self.model.text_projection(pooled).float(), dim=1)
            out[start : start + len(part)] = unit.cpu().numpy()
            progress(start + len(part), len(texts), "text embeddings")
        return out


class ConvNetEncoder(_Batched):
    """The platform's own evaluation encoder."""

    def __init__(self, net: ConvNet, name: str, version: str, device: str) -> None:
        super().__init__(name, version, Preparation(), device)
        self.net, self.dim = net.to(device), net.dim

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The network's outputs."""
        return self.net(pixels)


class BackboneEncoder(_Batched):
    """Any vision backbone of transformers with a pooled output or a class token (DINO class)."""

    def __init__(
        self, model: Any, name: str, version: str, preparation: Preparation, device: str
    ) -> None:
        super().__init__(name, version, preparation, device)
        self.model = model.to(device).eval()
        self.dim = int(model.config.hidden_size)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The pooled output, else the class token."""
        out = self.model(pixel_values=pixels)
        pooled = getattr(out, "pooler_output", None)
        return pooled if pooled is not None else out.last_hidden_state[:, 0]


def _version(source: str | Path, revision: str | None) -> str:
    return (
        directory_version(source) if isinstance(source, Path) else f"{source}@{revision or 'main'}"
    )


def load_vision_encoder(
    model: str | Path | None = None, revision: str | None = None, device: str = "auto"
) -> ClipEncoder:
    """A CLIP-class encoder: the packaged one, a directory or a hub id (imaging.vision_model)."""
    source = resolve_model(model, "clip", "imaging.vision_model")
    try:
        clip = CLIPModel.from_pretrained(
            str(source),
            revision=revision or "main",
            use_safetensors=True,
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(source), revision=revision)
        preparation = Preparation.of(source, revision)
    except OSError as error:
        raise OSError(
            f"imaging.vision_model={str(source)!r} could not be loaded: {error}. Give a CLIPModel "
            "directory with safetensors weights, or reach the hub."
        ) from error
    version = _version(source, revision)
    return ClipEncoder(clip, tokenizer, str(source), version, preparation, pick_device(device))


def load_evaluation_encoder(
    model: str | Path | None = None, revision: str | None = None, device: str = "auto"
) -> ImageEncoder:
    """The evaluation's encoder: ours, or a CLIP or DINO class one (imaging.evaluation_model)."""
    source = resolve_model(model, "evaluation_encoder", "imaging.evaluation_model")
    place = pick_device(device)
    if isinstance(source, Path) and _kind(source) == EVALUATION_KIND:
        net, _ = load_convnet(source, EVALUATION_KIND)
        return ConvNetEncoder(net, "zipp evaluation encoder", directory_version(source), place)
    config = AutoConfig.from_pretrained(str(source), revision=revision)
    if config.model_type == "clip":
        return load_vision_encoder(source, revision, device)
    backbone = AutoModel.from_pretrained(str(source), revision=revision, use_safetensors=True)
    version = _version(source, revision)
    preparation = Preparation.of(source, revision)
    return BackboneEncoder(backbone, str(source), version, preparation, place)


def _kind(directory: Path) -> str | None:
    path = directory / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{directory} is no model directory: config.json is missing")
    return json.loads(path.read_text(encoding="utf-8")).get("kind")


class FactorClassifier:
    """The judge of generated pictures: which subject, palette, medium and mood, and whether whole."""

    def __init__(self, net: ConvNet, version: str, device: str = "cpu") -> None:
        self.net, self.version, self.device = net.to(device), version, device

    @torch.no_grad()
    def _logits(self, images: np.ndarray, batch: int = 128) -> torch.Tensor:
        parts = []
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(images[start : start + batch].transpose(0, 3, 1, 2).copy())
            parts.append(self.net(pixels.to(self.device).float() / 127.5 - 1).float().cpu())
        return torch.cat(parts) if parts else torch.zeros((0, sum(SIZES) + 1))

    def predict_pixels(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """For uint8 [n, 64, 64, 3]: probabilities by factor, float32 [n, values]."""
        pairs = zip(FACTOR_NAMES, self._logits(images)[:, :-1].split(SIZES, 1), strict=True)
        return {name: part.softmax(1).numpy() for name, part in pairs}

    def whole_pixels(self, images: np.ndarray) -> np.ndarray:
        """For uint8 [n, 64, 64, 3]: the probability that shapes are whole, float32 [n]."""
        return self._logits(images)[:, -1].sigmoid().numpy()

    def predict(self, images: Sequence[bytes]) -> dict[str, np.ndarray]:
        """The same for encoded images, of which some are decoded at a time."""
        preparation = Preparation()
        nothing = np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
        parts = [self.predict_pixels(nothing)]
        for start in range(0, len(images), DECODED):
            pixels = (preparation.apply(images[start : start + DECODED]) + 1) * 127.5
            found = pixels.round().byte().numpy().transpose(0, 2, 3, 1)
            parts.append(self.predict_pixels(found))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @staticmethod
    def names(probabilities: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """The most probable value of each factor, by factor."""
        return {
            name: [list(FACTOR_VALUES[name])[int(i)] for i in values.argmax(1)]
            for name, values in probabilities.items()
        }


def load_factor_classifier(
    model: str | Path | None = None, device: str = "auto"
) -> FactorClassifier:
    """The packaged factor classifier, or one of a directory."""
    source = Path(resolve_model(model, "factor_classifier", "imaging.factor_classifier"))
    net, _ = load_convnet(source, CLASSIFIER_KIND)
    return FactorClassifier(net, directory_version(source), pick_device(device))
