"""What is done to a drawn picture before anybody sees it: metadata goes, attention checks break it."""

from __future__ import annotations

import io
from typing import Any


def broken(png: bytes, seed: int, parts: int = 8) -> bytes:
    """The picture with its parts shuffled: anybody who looks prefers the whole one."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    width, height = image.width // parts, image.height // parts
    order = np.random.default_rng(seed).permutation(parts * parts)
    shuffled = image.copy()
    for target, source in enumerate(order):
        x, y = int(source) % parts * width, int(source) // parts * height
        tile = image.crop((x, y, x + width, y + height))
        shuffled.paste(tile, (target % parts * width, target // parts * height))
    return _png(shuffled)


def without_metadata(png: bytes) -> bytes:
    """The same pixels without text chunks: they name the prompt, and would unblind a study."""
    from PIL import Image

    return _png(Image.open(io.BytesIO(png)).convert("RGB"))


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
