"""Drawing for methods with an image step: person by person, content-addressed, resumable.

The frozen generator's own drawing is `imaging.generation`. A picture's key also covers the method, its
version and the person's history, so that earlier pictures are used again and nothing else is. A
finished person goes to the scratch directory at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipp_dagster.progress import Progress, silent
from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ImageContext, ImageStep, NotHere, PastPicture
from zipp_dagster.zipbench.registry import METHODS

if TYPE_CHECKING:
    import pyarrow as pa

    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.image_files import ImageRequest
    from zipp_dagster.imaging.pipelines import LoadedPipeline


@dataclass(frozen=True)
class PersonCost:
    """What one person's pictures by one method cost when they were drawn."""

    method: str
    user_id: int
    images: int
    fit_seconds: float
    fit_cpu_seconds: float
    draw_seconds: float


@dataclass
class PersonalSummary:
    """What `draw_personal` did; `left_out` says why a method drew nothing."""

    requests: int = 0
    drawn: int = 0
    reused: int = 0
    prepare_seconds: dict[str, float] = field(default_factory=dict)
    costs: list[PersonCost] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def cost_table(self) -> pa.Table:
        """One row a method and person of those that were drawn now."""
        import pyarrow as pa

        schema = pa.schema(
            [
                ("method", pa.string()),
                ("user_id", pa.uint64()),
                ("images", pa.int64()),
                ("fit_seconds", pa.float64()),
                ("fit_cpu_seconds", pa.float64()),
                ("draw_seconds", pa.float64()),
            ]
        )
        return pa.Table.from_pylist([cost.__dict__ for cost in self.costs], schema=schema)

    def per_method(self) -> dict[str, dict[str, float]]:
        """Means over the people drawn now: seconds to learn one, seconds to draw an image."""
        result = {}
        for method in sorted({cost.method for cost in self.costs}):
            mine = [cost for cost in self.costs if cost.method == method]
            images = sum(cost.images for cost in mine)
            result[method] = {
                "people": float(len(mine)),
                "fit_seconds": sum(cost.fit_seconds for cost in mine) / len(mine),
                "fit_cpu_seconds": sum(cost.fit_cpu_seconds for cost in mine) / len(mine),
                "draw_seconds": sum(cost.draw_seconds for cost in mine) / images,
            }
        return result


def with_image_step(methods: Iterable[str]) -> set[str]:
    """Those methods that change the generator."""
    return {name for name in methods if name in METHODS and METHODS[name].image is not None}


def draw_personal(
    requests: Sequence[tuple[int, ImageRequest]],
    histories: Mapping[int, Sequence[PastPicture]],
    titles: Sequence[str],
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    options: MethodSettings,
    out_dir: Path,
    scratch: Path,
    progress: Progress = silent,
    existing: Sequence[Path] = (),
) -> PersonalSummary:
    """Draws the (user, request) pairs of methods with an image step; shards as `generate` writes.

    `histories` has each person's visible pictures, newest first; `titles` are visible titles of
    other people. A method that raises NotHere is left out as a whole, with its reason.
    """
    from zipp_dagster.imaging.image_files import locate, write_shards
    from zipp_dagster.imaging.pipelines import is_truncated

    summary = PersonalSummary()
    for method in sorted({r.method for _, r in requests}, key=list(METHODS).index):
        mine = [(user, request) for user, request in requests if request.method == method]
        step = METHODS[method].image
        assert step is not None, f"{method} has no image step"
        version = step.version(options)
        keys = {
            request.case_id: _key(loaded, settings, request, version, histories.get(user, ()))
            for user, request in mine
        }
        places = locate(sorted(scratch.glob("*.parquet")), set(keys.values()))
        places.update(locate(existing, set(keys.values()) - places.keys()))
        before = len(places)
        try:
            places |= _draw_missing(
                method,
                [pair for pair in mine if keys[pair[1].case_id] not in places],
                keys,
                step,
                _Studio(histories, titles, loaded, settings, options, scratch),
                summary,
                progress,
            )
        except NotHere as reason:
            summary.left_out[method] = str(reason)
            continue
        drawn = [request for _, request in mine]
        summary.requests += len(drawn)
        summary.reused += before
        summary.drawn += len(places) - before
        cut = {r.prompt: is_truncated(loaded.pipeline, r.prompt) for r in drawn}
        order = [keys[request.case_id] for request in drawn]
        summary.files += write_shards(drawn, order, places, cut, out_dir, settings.shard_size)
    return summary


@dataclass(frozen=True)
class _Studio:
    """What all people of a call share."""

    histories: Mapping[int, Sequence[PastPicture]]
    titles: Sequence[str]
    loaded: LoadedPipeline
    settings: ImagingSettings
    options: MethodSettings
    scratch: Path


def _draw_missing(
    method: str,
    missing: Sequence[tuple[int, ImageRequest]],
    keys: Mapping[str, str],
    step: ImageStep,
    studio: _Studio,
    summary: PersonalSummary,
    progress: Progress,
) -> dict[str, Path]:
    from zipp_dagster.imaging.image_files import encode_png, save_batch

    if not missing:
        return {}
    started = time.perf_counter()
    prepared = step.prepare(studio.loaded, studio.titles, studio.options)
    summary.prepare_seconds[method] = time.perf_counter() - started
    places: dict[str, Path] = {}
    people = sorted({user for user, _ in missing})
    for number, user in enumerate(people):
        mine = [request for owner, request in missing if owner == user]
        started = time.perf_counter()
        drawn = step.draw(
            ImageContext(
                [request.prompt for request in mine],
                [request.seed for request in mine],
                studio.histories.get(user, ()),
                studio.loaded,
                studio.settings,
                studio.options,
                prepared,
            )
        )
        spent = time.perf_counter() - started - drawn.fit_seconds
        pictures = {
            keys[request.case_id]: encode_png(pixels, _provenance(studio, request, keys))
            for pixels, request in zip(drawn.pixels, mine, strict=True)
        }
        path = save_batch(pictures, studio.scratch)
        places |= dict.fromkeys(pictures, path)
        summary.costs.append(
            PersonCost(
                method, user, len(mine), drawn.fit_seconds, drawn.fit_cpu_seconds, max(spent, 0.0)
            )
        )
        progress(number + 1, len(people), f"people drawn by {method}")
    return places


def _key(
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    request: ImageRequest,
    version: str,
    history: Sequence[PastPicture],
) -> str:
    """SHA-256 of everything that decides the picture's bytes, as 64 hex digits."""
    from zipp_dagster.imaging.generation import request_key

    digest = hashlib.sha256(
        json.dumps(
            [
                request_key(loaded.version, request.prompt, request.seed, settings),
                request.method,
                version,
            ]
        ).encode()
    )
    for past in history:
        digest.update(hashlib.sha256(past.prompt.encode()).digest())
        digest.update(hashlib.sha256(past.image).digest())
    return digest.hexdigest()


def _provenance(studio: _Studio, request: ImageRequest, keys: Mapping[str, str]) -> dict[str, str]:
    """What a picture says about itself; nothing of the person."""
    facts: dict[str, Any] = {
        "request": keys[request.case_id],
        "model": studio.loaded.version,
        "method": request.method,
        "prompt_sha256": hashlib.sha256(request.prompt.encode()).hexdigest(),
        "seed": request.seed,
        "steps": studio.settings.steps,
        "guidance": studio.settings.guidance,
    }
    return {name: str(value) for name, value in facts.items()}
