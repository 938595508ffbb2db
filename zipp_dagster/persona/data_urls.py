"""Pictures as an endpoint takes them: a data URL that names what the bytes are."""

from __future__ import annotations

import base64
import io

_MARKS = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def data_url(image: bytes) -> str:
    """The picture under its own type; as PNG where endpoints do not take its format (BMP, …).

    Raises ValueError for bytes that are no picture.
    """
    kind = _kind(image)
    if not kind:
        image, kind = _as_png(image), "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _kind(image: bytes) -> str:
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    return next((kind for mark, kind in _MARKS if image.startswith(mark)), "")


def _as_png(image: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(image)) as picture:
            picture.save(out, "PNG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise ValueError("a picture cannot be read") from None
    return out.getvalue()
