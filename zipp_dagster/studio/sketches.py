"""What the studio asks to be drawn, and the drawing itself: one call of the Personalizer.

Runs in the drawing process (`artist.py`), which alone loads torch. A sketch asks for the generic and
the personalised picture of one prompt and seed; a study's pairs are made of sketches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zipp_dagster.studio.pairs import BROKEN
from zipp_dagster.studio.pictures import broken, without_metadata
from zipp_dagster.studio.records import Picture


@dataclass(frozen=True)
class Sketch:
    """One prompt for one person: `user` of the persona store, or a `persona_text`."""

    prompt: str
    seed: int
    persona_text: str | None = None
    user: str | None = None
    shots: int = 0


@dataclass(frozen=True)
class PairRequest:
    """One pair of a study: the methods of both sides, the participant's persona and a stranger's."""

    prompt: str
    seed: int
    left_method: str
    right_method: str
    own: str
    stranger: str


def draw_sketch(sketch: Sketch) -> dict[str, Any]:
    """What `Personalizer.personalize` returns, with `png` bytes in place of paths."""
    with tempfile.TemporaryDirectory(prefix="zipp-sketch-") as folder:
        result: dict[str, Any] = _personalizer().personalize(
            sketch.prompt,
            user=sketch.user,
            persona_text=sketch.persona_text,
            shots=sketch.shots,
            seed=sketch.seed,
            out_dir=folder,
        )
        for name in ("generic", "personalized"):
            path = Path(result[name].pop("image"))
            result[name]["png"] = without_metadata(path.read_bytes())
    return result


def draw_pair(request: PairRequest) -> tuple[Picture, Picture]:
    """Both sides of a study's pair, from the same seed and settings."""
    own = _sketch_of(request, request.own)
    stranger = None
    pictures = {}
    for method in (request.left_method, request.right_method):
        if method == "mismatched":
            stranger = stranger or _sketch_of(request, request.stranger)
            pictures[method] = _picture(method, stranger, "personalized")
        elif method == BROKEN:
            good = _picture(method, own, "generic")
            pictures[method] = Picture(broken(good.png, request.seed), good.audit)
        else:
            side = "generic" if method == "no_persona" else "personalized"
            pictures[method] = _picture(method, own, side)
    return pictures[request.left_method], pictures[request.right_method]


@cache
def _personalizer() -> Any:
    from zipp_dagster.personal import Personalizer

    return Personalizer()


def _sketch_of(request: PairRequest, persona_text: str) -> dict[str, Any]:
    return draw_sketch(Sketch(request.prompt, request.seed, persona_text))


def _picture(method: str, result: Mapping[str, Any], side: str) -> Picture:
    audit = {
        "method": method,
        "prompt": result[side]["prompt"],
        "persona_id": None if side == "generic" else result["persona_id"],
        "seed": result["seed"],
        "models": result["models"],
    }
    return Picture(result[side]["png"], audit)
