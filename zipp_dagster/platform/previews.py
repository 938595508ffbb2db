"""Small pictures for asset pages: contact sheets, curves, histograms, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

THUMBNAIL = 64
DPI = 80


def contact_sheet(images: Sequence[bytes], columns: int = 8, side: int = THUMBNAIL) -> bytes:
    """Encoded images side by side in a grid, each scaled to `side` pixels."""
    from PIL import Image

    rows = max(1, -(-len(images) // columns))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for position, data in enumerate(images):
        with Image.open(io.BytesIO(data)) as image:
            thumbnail = image.convert("RGB").resize((side, side))
        sheet.paste(thumbnail, (position % columns * side, position // columns * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def curves(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str) -> bytes:
    """Lines over a common axis: name → (x, y) points."""
    figure, axes = _figure()
    for name, points in series.items():
        if points:
            axes.plot([x for x, _ in points], [y for _, y in points], label=name)
    axes.set_xlabel(x_label)
    axes.legend(frameon=False)
    return _png(figure)


def histogram(values: Sequence[float], label: str, *, log: bool = False) -> bytes:
    """The distribution of some numbers; `log` bins by powers of two for heavy tails."""
    import numpy as np

    figure, axes = _figure()
    array = np.asarray(values, dtype=float)
    if log and len(array) and array.max() > 0:
        top = int(np.ceil(np.log2(max(array.max(), 2)))) + 1
        axes.hist(array, bins=[2.0**power for power in range(top + 1)])
        axes.set_xscale("log", base=2)
    else:
        axes.hist(array, bins=30)
    axes.set_xlabel(label)
    axes.set_ylabel("count")
    return _png(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": ""})
    return buffer.getvalue()
