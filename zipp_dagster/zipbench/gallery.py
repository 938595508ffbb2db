"""Which cases the report shows, and their pictures. Choosing is by rule, never by taste.

The layout lives in the report's template; hiding real people's cases is decided in `report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
from PIL import Image

from zipp_dagster.imaging.stored_images import several
from zipp_dagster.zipbench.registry import BASELINE, method_label, method_order

OURS = "zipp_0shot"


@dataclass(frozen=True)
class Picture:
    """One picture of a case: how it is labelled, the prompt that made it, its bytes and clip_i."""

    label: str
    prompt: str
    image: bytes
    clip_i: float | None = None


@dataclass(frozen=True)
class GalleryCase:
    """One case of the gallery; `reference` is the picture that the person posted."""

    case_id: str
    person: str
    base_prompt: str
    reference_prompt: str
    persona: str | None
    pictures: tuple[Picture, ...]
    reference: bytes | None
    gain: float | None


def build_gallery(
    cases: pa.Table,
    generated: pa.Table,
    images: Mapping[str, bytes],
    references: Mapping[str, bytes],
    personas: Mapping[int, str],
    scores: pa.Table,
    size: int,
    *,
    failures: bool = False,
) -> list[GalleryCase]:
    """At most `size` cases, evenly spaced from the largest gain of ZIPP 0-shot over no persona to
    the largest loss, so that failures show in their proportion; with `failures` the cases of the
    largest losses only, the worst first.

    `cases` is benchmark_prompts, `generated` generated_images (case_id, method and prompt), `images`
    its pictures by `case_id/method`, of which those shown are read, `personas` user_id → prose,
    `scores` benchmark_scores. Cases without a gain (no reference picture) are spread over the case ids.
    """
    score = {
        (case, method): value
        for case, method, value in zip(
            scores["case_id"].to_pylist(),
            scores["method"].to_pylist(),
            scores["clip_i"].to_pylist(),
            strict=True,
        )
    }
    prompts: dict[str, dict[str, str]] = {}
    for row in generated.select(["case_id", "method", "prompt"]).to_pylist():
        prompts.setdefault(row["case_id"], {})[row["method"]] = row["prompt"]

    chosen = (_losses if failures else _spread)(sorted(prompts), score, size)
    people: dict[int, str] = {}
    of_case = {row["case_id"]: row for row in cases.to_pylist()}
    result = []
    for case, gain in chosen:
        row = of_case[case]
        person = people.setdefault(row["user_id"], f"person {len(people) + 1}")
        methods = sorted(prompts[case], key=method_order)
        shown = several(images, [f"{case}/{method}" for method in methods])
        pictures = tuple(
            Picture(
                label=method_label(method),
                prompt=prompts[case][method],
                image=image,
                clip_i=score.get((case, method)),
            )
            for method, image in zip(methods, shown, strict=True)
        )
        result.append(
            GalleryCase(
                case_id=case,
                person=person,
                base_prompt=row["base_prompt"],
                reference_prompt=row["reference_prompt"],
                persona=personas.get(row["user_id"]),
                pictures=pictures,
                reference=references.get(row["reference_sha256"] or ""),
                gain=gain,
            )
        )
    return result


def small_png(image: bytes, longest_side: int) -> bytes:
    """The picture as PNG with its longest side at most `longest_side` pixels; never enlarged."""
    with Image.open(BytesIO(image)) as picture:
        small = picture.convert("RGB")
        small.thumbnail((longest_side, longest_side))
        buffer = BytesIO()
        small.save(buffer, format="PNG")
    return buffer.getvalue()


_Scores = Mapping[tuple[str, str], float | None]


def _gains(cases: Sequence[str], score: _Scores) -> dict[str, float]:
    gains: dict[str, float] = {}
    for case in cases:
        ours, baseline = score.get((case, OURS)), score.get((case, BASELINE))
        if ours is not None and baseline is not None:
            gains[case] = ours - baseline
    return gains


def _losses(cases: Sequence[str], score: _Scores, size: int) -> list[tuple[str, float | None]]:
    lost = [(case, gain) for case, gain in _gains(cases, score).items() if gain < 0]
    return [*sorted(lost, key=lambda entry: entry[1])[:size]]


def _spread(cases: Sequence[str], score: _Scores, size: int) -> list[tuple[str, float | None]]:
    gains = _gains(cases, score)
    ordered = sorted(gains, key=lambda case: -gains[case]) if gains else list(cases)
    if size < 1 or not ordered:
        return []
    places = np.unique(
        np.linspace(0, len(ordered) - 1, min(size, len(ordered))).round().astype(int)
    )
    return [(ordered[place], gains.get(ordered[place])) for place in places]
