"""The renderer of the sample world: factors and a seed to a small picture.

A picture is drawn at twice its size (background by mood, then the subject's silhouette), and then
passed through a medium. Silhouettes are in `shapes.py`; words in `captions.py`. Same factors, same
seed, same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from zipp_dagster.sampleworld.shapes import DRAWERS, Point, Sketch
from zipp_dagster.sampleworld.vocabulary import Factors

Color = tuple[int, int, int]

# Per palette: sky top, sky bottom, ground, and the subject's main, accent, light and dark colours.
COLORS: dict[str, tuple[str, str, str, str, str, str, str]] = {
    "autumn": ("#f0b060", "#f8d8a0", "#9a5a28", "#c8401c", "#e88a1c", "#ffe8b8", "#4a2010"),
    "ocean": ("#4aa0d8", "#b0e0f0", "#1c5a90", "#1458b8", "#20b0b8", "#e4f6ff", "#0a2450"),
    "pastel": ("#dcdaf8", "#fdeaf0", "#bfeccf", "#f288b0", "#86b4f0", "#fffbe6", "#77659c"),
    "neon": ("#2a0a4a", "#58108a", "#10083a", "#ff1ea0", "#18f0f0", "#d8ff30", "#08041c"),
    "monochrome": ("#a8a8a8", "#dcdcdc", "#6a6a6a", "#484848", "#8c8c8c", "#f6f6f6", "#141414"),
    "forest": ("#9cc88c", "#dcecc0", "#3c6a30", "#1c7a3c", "#88a820", "#f0f8d0", "#0e3018"),
    "royal": ("#9070c8", "#d0b8ec", "#5a2c88", "#6a18a8", "#e8b020", "#fff0b8", "#280c4c"),
    "primary": ("#38a0f8", "#a0dcff", "#30b048", "#e81c1c", "#ffd810", "#ffffff", "#1c2478"),
}
_ROLES = ("top", "bottom", "ground", "main", "accent", "light", "dark")


def _rgb(text: str) -> Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _mix(a: Color, b: Color, share: float) -> Color:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _colors(factors: Factors, rng: np.random.Generator) -> dict[str, Color]:
    """The palette with a little jitter, lit by the mood."""
    gains = 1 + 0.06 * rng.standard_normal(len(_ROLES))
    colors: dict[str, Color] = {}
    for role, text, gain in zip(_ROLES, COLORS[factors.palette], gains, strict=True):
        red, green, blue = (min(255, max(0, round(c * gain))) for c in _rgb(text))
        colors[role] = (red, green, blue)
    if factors.mood == "night":
        colors["top"] = _mix(colors["dark"], (0, 0, 0), 0.45)
        colors["bottom"] = _mix(colors["dark"], colors["top"], 0.35)
        colors["ground"] = _mix(colors["ground"], (0, 0, 0), 0.6)
        for role in ("main", "accent", "light"):
            colors[role] = _mix(colors[role], colors["dark"], 0.08)
    elif factors.mood == "storm":
        gray = sum(colors["dark"]) // 3
        cloud = _mix(colors["dark"], (gray + 40, gray + 40, gray + 40), 0.4)
        colors["top"] = _mix(colors["top"], cloud, 0.75)
        colors["bottom"] = _mix(colors["bottom"], cloud, 0.45)
        colors["ground"] = _mix(colors["ground"], (0, 0, 0), 0.35)
        colors["cloud"] = _mix(cloud, (0, 0, 0), 0.35)
    elif factors.mood == "mist":
        pale = _mix(colors["bottom"], (255, 255, 255), 0.45)
        colors["fog"] = pale
        for role in ("top", "bottom", "ground"):
            colors[role] = _mix(colors[role], pale, 0.6)
        for role in ("main", "accent", "dark"):
            colors[role] = _mix(colors[role], pale, 0.1)
    return colors


def _background(
    draw: ImageDraw.ImageDraw, size: int, c: dict[str, Color], mood: str, rng: np.random.Generator
) -> None:
    """Sky, ground and what tells the mood, behind the subject."""
    horizon = int(size * (0.74 + 0.05 * rng.random()))
    bands = 10
    for i in range(bands):
        y0, y1 = horizon * i // bands, horizon * (i + 1) // bands
        draw.rectangle((0, y0, size, y1), fill=_mix(c["top"], c["bottom"], i / (bands - 1)))
    draw.rectangle((0, horizon, size, size), fill=c["ground"])
    corner = rng.random() < 0.5
    x = size * (0.14 if corner else 0.86)
    y, r = size * 0.15, size * (0.12 + 0.02 * rng.random())
    if mood == "sunny":
        sun = _mix(c["light"], (255, 255, 255), 0.3)
        turn = rng.random()
        for i in range(10):
            a = turn + i * math.pi / 5
            tip = (x + 2.1 * r * math.cos(a), y + 2.1 * r * math.sin(a))
            side = [(x + r * math.cos(a + d), y + r * math.sin(a + d)) for d in (-0.2, 0.2)]
            draw.polygon([tip, *side], fill=sun)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=sun)
    elif mood == "night":
        glow = _mix(c["light"], (255, 255, 255), 0.35)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=glow)
        shift = r * (0.6 if corner else -0.6)
        draw.ellipse((x - r + shift, y - r * 1.2, x + r + shift, y + r * 0.8), fill=c["top"])
        for px, py in rng.random((16, 2)):
            sx, sy = px * size, py * horizon * 0.8
            draw.rectangle((sx, sy, sx + 2, sy + 2), fill=glow)
    elif mood == "storm":
        for i in range(6):
            cx, cy = size * (i + 0.5 * rng.random()) / 5, size * (0.04 + 0.08 * rng.random())
            cr = size * 0.16
            draw.ellipse((cx - cr, cy - cr, cx + cr, cy + cr * 0.8), fill=c["cloud"])
        bolt = [(0.0, 0.1), (-0.1, 0.32), (-0.02, 0.32), (-0.12, 0.58), (0.09, 0.26), (0.02, 0.26)]
        flash = _mix(c["light"], (255, 255, 255), 0.5)
        draw.polygon(
            [(x + u * size, (v + 0.02) * size) for u, v in (*bolt, (0.1, 0.1))], fill=flash
        )


def _foreground(
    image: Image.Image, c: dict[str, Color], mood: str, rng: np.random.Generator
) -> None:
    """Rain or fog in front of the subject."""
    size = image.width
    draw = ImageDraw.Draw(image)
    if mood == "storm":
        rain = _mix(c["light"], c["bottom"], 0.5)
        for px, py in rng.random((26, 2)):
            x, y = px * size * 1.2, py * size
            draw.line((x, y, x - size * 0.05, y + size * 0.11), fill=rain, width=1)
    elif mood == "mist":
        veil = Image.new("L", (size, size), 40)
        shade = ImageDraw.Draw(veil)
        for y in (0.3, 0.62, 0.86):
            centre = size * (y + 0.06 * rng.standard_normal())
            x0 = size * (rng.random() - 0.5)
            height = size * 0.075
            shade.ellipse((x0, centre - height, x0 + size, centre + height), fill=140)
            shade.ellipse(
                (x0 - size * 0.7, centre, x0 + size * 0.2, centre + height * 1.4), fill=110
            )
            shade.ellipse(
                (x0 + size * 0.8, centre, x0 + size * 1.6, centre + height * 1.4), fill=110
            )
        veil = veil.filter(ImageFilter.BoxBlur(size / 40))
        image.paste(c["fog"], (0, 0), veil)


def _place(sketch: Sketch, size: int, rng: np.random.Generator) -> list[tuple[str, list[Point]]]:
    """The subject's shapes in pixels: scaled, turned a little, sometimes mirrored."""
    scale = size * (0.36 + 0.05 * rng.random())
    turn = math.radians(5) * float(rng.standard_normal())
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    flip = -1 if rng.random() < 0.5 else 1
    cx = size * (0.5 + 0.04 * float(rng.standard_normal()))
    cy = size * (0.53 + 0.02 * float(rng.standard_normal()))
    return [
        (role, [(cx + flip * x * cos - y * sin, cy + flip * x * sin + y * cos) for x, y in points])
        for role, points in sketch.shapes
    ]


def render(factors: Factors, seed: int, size: int = 64) -> np.ndarray:
    """Draws the picture: uint8 [size, size, 3]."""
    indices = factors.indices()
    rng = np.random.default_rng([seed, *indices])
    big = size * 2
    sketch = Sketch(rng)
    DRAWERS[factors.subject](sketch)
    shapes = _place(sketch, big, rng)
    colors = _colors(factors, rng)
    image = Image.new("RGB", (big, big))
    draw = ImageDraw.Draw(image)
    outline: Color | None = None
    width = 0
    if factors.medium == "ink":
        colors = _paper_colors(colors, factors.mood)
        outline, width = _mix(_rgb(COLORS[factors.palette][6]), (0, 0, 0), 0.3), big // 42
    elif factors.medium == "glass":
        outline, width = (12, 10, 14), big // 32
    _background(draw, big, colors, factors.mood, rng)
    if factors.medium == "glass":
        _leads(draw, big, rng, width)
    for role, points in shapes:
        draw.polygon(points, fill=colors[role])
        if outline is not None:
            draw.line([*points, points[0], points[1]], fill=outline, width=width)
    _foreground(image, colors, factors.mood, rng)
    return _MEDIA[factors.medium](image, size, rng)


def _paper_colors(colors: dict[str, Color], mood: str) -> dict[str, Color]:
    """Ink on tinted paper: everything pale but the darkest tones."""
    paper = _mix(colors["bottom"], (255, 253, 246), 0.35 if mood in ("night", "storm") else 0.7)
    pale = {role: _mix(color, paper, 0.72) for role, color in colors.items()}
    pale["main"] = _mix(colors["main"], paper, 0.35)
    pale["dark"] = colors["dark"]
    pale["light"] = _mix(colors["light"], (255, 255, 255), 0.5)
    return pale


def _leads(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator, width: int) -> None:
    """The lead lines of a window: a fan of rays and a ring behind the subject."""
    cx, cy = size * (0.5 + 0.06 * rng.standard_normal()), size * 0.55
    turn = rng.random()
    for i in range(8):
        a = turn + i * math.pi / 4
        end = (cx + size * math.cos(a), cy + size * math.sin(a))
        draw.line((cx, cy, *end), fill=(12, 10, 14), width=width)
    r = size * 0.47
    draw.ellipse((cx - r, cy - r, cx + r, cy + r), outline=(12, 10, 14), width=width)


def _array(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float32)


def _finish(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _noise_bank(size: int, cells: int, count: int = 24) -> np.ndarray:
    """Smooth noise fields, float32 [count, size, size], about -1 to 1; drawn once."""
    rng = np.random.default_rng([7, size, cells])
    fields = []
    for _ in range(count):
        coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        fields.append(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(fields).astype(np.float32)


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    bank = _noise_bank(size, cells)
    return bank[int(rng.integers(len(bank)))]


def _watercolor(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    pixels = _array(image.filter(ImageFilter.BoxBlur(size / 64)), size)
    axis = np.arange(size)
    rows = np.clip(axis[:, None] + 1.1 * _noise(rng, size, 9), 0, size - 1).astype(np.intp)
    cols = np.clip(axis[None, :] + 1.1 * _noise(rng, size, 9), 0, size - 1).astype(np.intp)
    pixels = pixels[rows, cols]
    edge = np.minimum(np.minimum(axis[:, None], axis[None, :]), (size - 1 - axis)[:, None])
    edge = np.minimum(edge, (size - 1 - axis)[None, :]) / size
    paint = np.clip((edge + 0.035 * _noise(rng, size, 12) - 0.03) * 22, 0, 1)
    paint = paint * (0.86 + 0.10 * _noise(rng, size, 6))
    paper = np.array([252, 249, 242], dtype=np.float32)
    return _finish(paper + (pixels - paper) * np.clip(paint, 0, 1)[..., None])


def _oil(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    big = image.width
    source = image.copy().load()
    assert source is not None
    draw = ImageDraw.Draw(image)
    count = 520
    places = (rng.random((count, 2)) * (big - 1)).astype(int).tolist()
    angles = (rng.random() * math.pi + 0.5 * rng.standard_normal(count)).tolist()
    gains = (1 + 0.13 * rng.standard_normal(count)).tolist()
    length = big / 32
    for (x, y), angle, gain in zip(places, angles, gains, strict=True):
        r, g, b = source[x, y]  # type: ignore[misc]
        dx, dy = length * math.cos(angle), length * math.sin(angle)
        fill = (min(255, int(r * gain)), min(255, int(g * gain)), min(255, int(b * gain)))
        draw.line((x - dx, y - dy, x + dx, y + dy), fill=fill, width=big // 32)
    return _finish(_array(image, size))


def _pixel(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    cells = max(size // 4, 4)
    coarse = np.asarray(image.resize((cells, cells), Image.Resampling.BOX), dtype=np.float32)
    coarse = (np.round(coarse / 24) * 24).astype(np.float32)
    return _finish(np.repeat(np.repeat(coarse, size // cells, 0), size // cells, 1))


def _ink(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    return _finish(_array(image, size))


def _vector(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    return _finish(_array(image, size))


def _glass(image: Image.Image, size: int, rng: np.random.Generator) -> np.ndarray:
    pixels = _array(image, size)
    glow = 1.12 + 0.22 * _noise(rng, size, 8)
    return _finish(pixels * glow[..., None])


_MEDIA: dict[str, Callable[[Image.Image, int, np.random.Generator], np.ndarray]] = {
    "watercolor": _watercolor,
    "oil": _oil,
    "pixel": _pixel,
    "ink": _ink,
    "vector": _vector,
    "glass": _glass,
}
