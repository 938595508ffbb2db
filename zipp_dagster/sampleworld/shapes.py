"""The silhouettes of the sample world's subjects: polygons in unit coordinates, by colour role.

Only geometry lives here: each function adds shapes to a `Sketch`. Colours, backgrounds and media
are in `render.py`. Coordinates run from -1 to 1, x to the right and y down; roles are `main`,
`accent`, `light` and `dark`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Point = tuple[float, float]


@dataclass
class Sketch:
    """Shapes in drawing order; `rng` varies the details."""

    rng: np.random.Generator
    shapes: list[tuple[str, list[Point]]] = field(default_factory=list)

    def poly(self, role: str, *points: Point) -> None:
        """Adds a polygon."""
        self.shapes.append((role, list(points)))

    def oval(self, role: str, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> None:
        """Adds an ellipse around (x, y), turned by `turn` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        points = []
        for i in range(20):
            a = i * math.pi / 10
            u, v = rx * math.cos(a), ry * math.sin(a)
            points.append((x + u * cos - v * sin, y + u * sin + v * cos))
        self.shapes.append((role, points))

    def box(self, role: str, x0: float, y0: float, x1: float, y1: float) -> None:
        """Adds an upright rectangle."""
        self.poly(role, (x0, y0), (x1, y0), (x1, y1), (x0, y1))

    def vary(self, value: float, share: float = 0.12) -> float:
        """`value` changed by up to `share` of itself."""
        return value * (1 + share * (2 * float(self.rng.random()) - 1))


def _cat(s: Sketch) -> None:
    s.poly("main", (0.35, 0.75), (0.8, 0.6), (0.95, 0.1), (0.8, -0.1), (0.78, 0.2), (0.6, 0.45))
    s.oval("main", 0, 0.5, s.vary(0.48), 0.5)
    s.poly("main", (-0.52, -0.25), (-0.5, -0.98), (-0.02, -0.55))
    s.poly("main", (0.52, -0.25), (0.5, -0.98), (0.02, -0.55))
    s.poly("accent", (-0.42, -0.5), (-0.42, -0.8), (-0.2, -0.58))
    s.poly("accent", (0.42, -0.5), (0.42, -0.8), (0.2, -0.58))
    s.oval("main", 0, -0.25, 0.56, 0.44)
    s.oval("light", -0.22, -0.28, 0.13, 0.14)
    s.oval("light", 0.22, -0.28, 0.13, 0.14)
    s.oval("dark", -0.22, -0.28, 0.06, 0.13)
    s.oval("dark", 0.22, -0.28, 0.06, 0.13)
    s.poly("dark", (-0.08, -0.08), (0.08, -0.08), (0, 0.03))
    s.oval("light", 0, 0.55, 0.22, 0.3)


def _owl(s: Sketch) -> None:
    s.poly("main", (-0.5, -0.55), (-0.6, -0.95), (-0.1, -0.75))
    s.poly("main", (0.5, -0.55), (0.6, -0.95), (0.1, -0.75))
    s.oval("main", 0, 0.05, s.vary(0.66, 0.08), 0.88)
    s.oval("accent", -0.58, 0.2, 0.2, 0.55, 0.2)
    s.oval("accent", 0.58, 0.2, 0.2, 0.55, -0.2)
    s.oval("light", 0, 0.45, 0.36, 0.38)
    s.oval("light", -0.28, -0.35, 0.29, 0.29)
    s.oval("light", 0.28, -0.35, 0.29, 0.29)
    s.oval("dark", -0.26, -0.35, 0.16, 0.16)
    s.oval("dark", 0.26, -0.35, 0.16, 0.16)
    s.poly("accent", (-0.12, -0.2), (0.12, -0.2), (0, 0.1))


def _fish(s: Sketch) -> None:
    s.poly("accent", (0.4, 0), (0.98, -0.55), (0.86, 0), (0.98, 0.55))
    s.poly("accent", (-0.35, -0.3), (0.1, -0.85), (0.35, -0.25))
    s.poly("accent", (-0.1, 0.35), (0.15, 0.75), (0.3, 0.25))
    s.oval("main", -0.18, 0, 0.78, s.vary(0.46))
    s.poly("light", (-0.1, -0.42), (0.06, -0.41), (0.06, 0.41), (-0.1, 0.42))
    s.poly("light", (0.24, -0.35), (0.36, -0.3), (0.36, 0.3), (0.24, 0.35))
    s.oval("light", -0.58, -0.12, 0.15, 0.15)
    s.oval("dark", -0.6, -0.12, 0.08, 0.08)


def _rabbit(s: Sketch) -> None:
    lean = 0.2 * float(s.rng.random())
    s.oval("main", -0.22, -0.62, 0.16, 0.44, -0.12 - lean)
    s.oval("main", 0.22, -0.62, 0.16, 0.44, 0.12 + lean)
    s.oval("accent", -0.22, -0.6, 0.08, 0.32, -0.12 - lean)
    s.oval("accent", 0.22, -0.6, 0.08, 0.32, 0.12 + lean)
    s.oval("light", 0.5, 0.72, 0.18, 0.18)
    s.oval("main", 0, 0.6, 0.5, 0.4)
    s.oval("main", 0, 0.02, 0.42, 0.36)
    s.oval("dark", -0.17, -0.04, 0.08, 0.1)
    s.oval("dark", 0.17, -0.04, 0.08, 0.1)
    s.oval("light", 0, 0.19, 0.2, 0.13)
    s.oval("dark", 0, 0.13, 0.06, 0.05)
    s.oval("light", 0, 0.68, 0.26, 0.24)


def _castle(s: Sketch) -> None:
    s.box("main", -0.65, 0, 0.65, 0.9)
    for x in (-0.5, -0.17, 0.17, 0.5):
        s.box("main", x - 0.09, -0.14, x + 0.09, 0.05)
    for x in (-0.72, 0.72):
        s.box("main", x - 0.2, -0.3, x + 0.2, 0.9)
        s.poly("accent", (x - 0.28, -0.28), (x, -0.85), (x + 0.28, -0.28))
        s.box("dark", x - 0.06, 0.05, x + 0.06, 0.28)
    s.box("light", -0.2, -0.45, 0.2, 0.3)
    s.poly("accent", (-0.28, -0.43), (0, -s.vary(0.95, 0.05)), (0.28, -0.43))
    s.box("dark", -0.06, -0.25, 0.06, 0)
    s.box("dark", -0.18, 0.5, 0.18, 0.9)
    s.oval("dark", 0, 0.5, 0.18, 0.18)


def _lighthouse(s: Sketch) -> None:
    s.poly("dark", (-0.75, 0.95), (-0.4, 0.7), (0.4, 0.7), (0.75, 0.95))
    width = s.vary(0.34, 0.1)

    def half(y: float) -> float:
        return width * (0.62 + 0.38 * (y + 0.45) / 1.25)

    edges = [-0.45, -0.14, 0.17, 0.48, 0.8]
    for i, (y0, y1) in enumerate(pairwise(edges)):
        role = "light" if i % 2 == 0 else "main"
        s.poly(role, (-half(y0), y0), (half(y0), y0), (half(y1), y1), (-half(y1), y1))
    s.poly("light", (0.1, -0.66), (1.3, -0.95), (1.3, -0.4), (0.1, -0.58))
    s.box("dark", -0.32, -0.5, 0.32, -0.42)
    s.box("accent", -0.17, -0.76, 0.17, -0.5)
    s.poly("main", (-0.25, -0.74), (0, -1.0), (0.25, -0.74))


def _cottage(s: Sketch) -> None:
    s.box("dark", 0.3, -0.8, 0.5, -0.3)
    s.box("main", -0.68, -0.05, 0.68, 0.85)
    s.poly("accent", (-0.95, 0.02), (-0.02, -s.vary(0.85, 0.08)), (0.95, 0.02))
    s.box("dark", -0.16, 0.3, 0.16, 0.85)
    s.box("light", -0.54, 0.18, -0.27, 0.48)
    s.box("light", 0.27, 0.18, 0.54, 0.48)


def _sailboat(s: Sketch) -> None:
    s.poly("light", (-0.06, -0.95), (-0.06, 0.42), (-0.8, 0.42))
    s.poly("accent", (0.06, -0.75), (0.06, 0.42), (s.vary(0.66, 0.1), 0.42))
    s.box("dark", -0.06, -1.0, 0.04, 0.55)
    s.poly("main", (-0.92, 0.5), (0.92, 0.5), (0.6, 0.9), (-0.6, 0.9))


def _car(s: Sketch) -> None:
    s.poly("main", (-0.6, 0.1), (-0.38, -0.45), (0.35, -0.45), (0.62, 0.1))
    s.poly("light", (-0.42, 0.05), (-0.28, -0.32), (-0.05, -0.32), (-0.05, 0.05))
    s.poly("light", (0.05, 0.05), (0.05, -0.32), (0.26, -0.32), (0.43, 0.05))
    s.poly("main", (-0.98, 0.1), (0.9, 0.05), (0.98, 0.25), (0.98, 0.55), (-0.98, 0.55))
    s.box("accent", -0.98, 0.3, 0.98, 0.42)
    for x in (-0.55, 0.55):
        s.oval("dark", x, 0.55, s.vary(0.27, 0.08), 0.27)
        s.oval("light", x, 0.55, 0.11, 0.11)


def _balloon(s: Sketch) -> None:
    s.poly("main", (-0.6, 0.0), (0.6, 0.0), (0.16, 0.56), (-0.16, 0.56))
    s.oval("main", 0, -0.3, s.vary(0.68, 0.06), 0.66)
    s.oval("accent", 0, -0.3, 0.42, 0.66)
    s.poly("accent", (-0.36, 0.0), (0.36, 0.0), (0.1, 0.56), (-0.1, 0.56))
    s.oval("light", 0, -0.3, 0.16, 0.66)
    s.poly("light", (-0.14, 0.1), (0.14, 0.1), (0.04, 0.56), (-0.04, 0.56))
    s.poly("dark", (-0.14, 0.54), (-0.17, 0.76), (-0.13, 0.76), (-0.1, 0.54))
    s.poly("dark", (0.14, 0.54), (0.17, 0.76), (0.13, 0.76), (0.1, 0.54))
    s.box("dark", -0.19, 0.74, 0.19, 1.0)


def _tree(s: Sketch) -> None:
    s.poly("dark", (-0.13, 0.0), (0.13, 0.0), (0.2, 0.95), (-0.2, 0.95))
    s.oval("main", -0.42, -0.05, s.vary(0.42), 0.36)
    s.oval("main", 0.42, -0.05, s.vary(0.42), 0.36)
    s.oval("main", 0, -0.48, 0.55, 0.46)
    s.oval("main", 0, -0.1, 0.5, 0.4)
    for _ in range(7):
        angle, radius = 2 * math.pi * float(s.rng.random()), 0.5 * math.sqrt(float(s.rng.random()))
        s.oval("accent", radius * math.cos(angle), -0.28 + 0.8 * radius * math.sin(angle), 0.1, 0.1)


def _mountain(s: Sketch) -> None:
    left, right = s.vary(0.25, 0.2), s.vary(0.1, 0.3)
    s.poly("accent", (-1.35, 0.85), (-0.62, -0.3 - right), (0.15, 0.85))
    s.poly(
        "light", (-0.78, -0.05 - right), (-0.62, -0.3 - right), (-0.44, -0.02 - right), (-0.62, 0.1)
    )
    s.poly("main", (-0.75, 0.85), (left, -0.95), (1.3, 0.85))
    s.poly(
        "light",
        (left - 0.3, -0.42),
        (left, -0.95),
        (left + 0.33, -0.4),
        (left + 0.14, -0.18),
        (left + 0.02, -0.42),
        (left - 0.14, -0.2),
    )


def _flower(s: Sketch) -> None:
    s.box("dark", -0.06, 0.1, 0.06, 1.0)
    s.oval("dark", -0.3, 0.68, 0.3, 0.12, 0.5)
    s.oval("dark", 0.3, 0.58, 0.3, 0.12, -0.5)
    petals = 7 + int(s.rng.integers(2))
    turn = float(s.rng.random())
    for i in range(petals):
        a = 2 * math.pi * i / petals + turn
        role = "main" if i % 2 else "accent"
        s.oval(role, 0.42 * math.cos(a), -0.33 + 0.42 * math.sin(a), 0.3, 0.19, a)
    s.oval("light", 0, -0.33, 0.24, 0.24)


def _mushroom(s: Sketch) -> None:
    s.poly("light", (-0.2, -0.1), (0.2, -0.1), (0.3, 0.92), (-0.3, 0.92))
    cap = [(0.92 * math.cos(a), 0.12 + s.vary(0.9, 0.02) * math.sin(a)) for a in _ARC]
    s.poly("main", *cap, (0.6, 0.24), (-0.6, 0.24))
    for x, y, r in ((-0.48, -0.15, 0.15), (0, -0.45, 0.18), (0.45, -0.12, 0.15), (0.05, 0.0, 0.1)):
        s.oval("light", x, y, s.vary(r, 0.25), r * 0.9)


_ARC = [math.pi + i * math.pi / 16 for i in range(17)]

DRAWERS: dict[str, Callable[[Sketch], None]] = {
    "cat": _cat,
    "owl": _owl,
    "fish": _fish,
    "rabbit": _rabbit,
    "castle": _castle,
    "lighthouse": _lighthouse,
    "cottage": _cottage,
    "sailboat": _sailboat,
    "car": _car,
    "balloon": _balloon,
    "tree": _tree,
    "mountain": _mountain,
    "flower": _flower,
    "mushroom": _mushroom,
}
