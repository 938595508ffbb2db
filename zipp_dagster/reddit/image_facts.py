"""What the bytes of an image are, decided by content: format, size, hashes. Nothing is trusted."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # decided by content, whatever the file is called
SNIFF_BYTES = 512
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg", b"<body", b"<script")
_MOVING = (b"GIF87a", b"GIF89a", b"\x1aE\xdf\xa3")

_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")  # other boxed files are videos


class UnusableImageError(ValueError):
    """A file is no image that can be kept; the message is the short reason that is counted."""


@dataclass(frozen=True)
class ImageFacts:
    """Content hash, perceptual hash and size of an image."""

    sha256: str
    dhash: int
    width: int
    height: int


def difference_hash(image: Image.Image) -> int:
    """64-bit dHash: whether brightness rises from each cell to its right neighbour, 8 × 9 cells."""
    cells = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    bits = (cells[:, 1:] > cells[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def refuse_by_head(head: bytes) -> None:
    """Refuses what its first bytes show to be no still image.

    Raises:
        UnusableImageError: `web_page` or `moving_image`.
    """
    if head[:SNIFF_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise UnusableImageError("web_page")
    if head.startswith(_MOVING) or (head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS):
        raise UnusableImageError("moving_image")


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header claims, from the first bytes; None if not there yet."""
    try:
        with _opened(data) as image:
            return image.size
    except UnusableImageError as error:
        if str(error) == "too_many_pixels":
            raise
        return None


def inspect_image(data: bytes, max_pixels: int) -> ImageFacts:
    """Decodes an image completely and describes it.

    Raises:
        UnusableImageError: `not_an_image`, `web_page`, `moving_image`, `too_many_pixels` or
            `damaged_image`.
    """
    refuse_by_head(data)
    with _opened(data) as image:
        # The header's claim is checked before a single pixel is decoded.
        if image.width * image.height > max_pixels:
            raise UnusableImageError("too_many_pixels")
        try:
            if getattr(image, "n_frames", 1) > 1:
                raise UnusableImageError("moving_image")
            image.load()
            fingerprint = difference_hash(image)
        except UnusableImageError:
            raise
        except (OSError, ValueError, SyntaxError, EOFError):
            raise UnusableImageError("damaged_image") from None
        return ImageFacts(sha256(data).hexdigest(), fingerprint, image.width, image.height)


def _opened(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise UnusableImageError("too_many_pixels") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise UnusableImageError("not_an_image") from None
