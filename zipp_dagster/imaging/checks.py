"""Faults that generated images can have: blank, constant (what NaNs become), or duplicated.

Pure functions on encoded images. What counts as too many is decided where the asset's checks are.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# Spread of pixel values (0..255) under which nothing can be seen; real pictures have 20 and more.
_BLANK_SPREAD = 3.0


@dataclass(frozen=True)
class ImageFaults:
    """Counts over a set of images."""

    images: int
    undecodable: int
    constant: int
    blank: int
    duplicates: int


def pixels_of(image: bytes) -> np.ndarray:
    """Decodes to uint8 [h, w, 3]; raises OSError for bytes that are no image."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def is_constant(pixels: np.ndarray) -> bool:
    """Whether every pixel is the same: what a NaN latent decodes to."""
    return bool((pixels == pixels[0, 0]).all())


def is_blank(pixels: np.ndarray) -> bool:
    """Whether there is next to nothing to see (includes constant images)."""
    return bool(pixels.astype(np.float32).std(axis=(0, 1)).max() < _BLANK_SPREAD)


def find_faults(images: Iterable[bytes], request_keys: Sequence[str] | None = None) -> ImageFaults:
    """Counts undecodable, constant, blank and duplicated images.

    A duplicate has the pixels of another image with a different request key (equal requests share
    one image by design); without keys, of any other image.
    """
    seen: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for position, image in enumerate(images):
        counts["images"] += 1
        try:
            pixels = pixels_of(image)
        except OSError:
            counts["undecodable"] += 1
            continue
        counts["constant"] += is_constant(pixels)
        counts["blank"] += is_blank(pixels)
        key = request_keys[position] if request_keys is not None else str(position)
        digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        seen.setdefault(digest, set()).add(key)
    duplicates = sum(len(keys) - 1 for keys in seen.values())
    return ImageFaults(
        images=counts["images"],
        undecodable=counts["undecodable"],
        constant=counts["constant"],
        blank=counts["blank"],
        duplicates=duplicates,
    )
