"""Drawing for methods with an image step: people as items, content-addressed, resumable.

The frozen generator's own drawing is `imaging.generation`. A picture's key also covers the method, its
version and what it takes from the person's history and other people's titles, so that earlier pictures
are used again and nothing else is. A finished person goes to the scratch directory at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zipp_dagster import fanout
from zipp_dagster.progress import Progress, silent
from zipp_dagster.zipbench.config import MethodSettings
from zipp_dagster.zipbench.methods.base import ImageContext, ImageStep, NotHere, PastPicture
from zipp_dagster.zipbench.registry import METHODS

if TYPE_CHECKING:
    import pyarrow as pa

    from zipp_dagster.imaging.config import ImagingSettings
    from zipp_dagster.imaging.generation import Elsewhere
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
    """What `draw_personal` did.

    `left_out` says why a method drew nothing, `people_left_out` why it drew nothing of some people.
    """

    requests: int = 0
    drawn: int = 0
    reused: int = 0
    prepare_seconds: dict[str, float] = field(default_factory=dict)
    costs: list[PersonCost] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    people_left_out: dict[str, dict[int, str]] = field(default_factory=dict)
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
    elsewhere: Elsewhere | None = None,
) -> PersonalSummary:
    """Draws the (user, request) pairs of methods with an image step; shards as `generate` writes.

    `histories` has each person's visible pictures, newest first; `titles` are visible titles of
    other people. A method that raises NotHere is left out as a whole, with its reason, and so are
    single people whom it cannot draw in the memory that there is. With `elsewhere`, people are items
    of its engine, whose processes load the generator themselves.
    """
    from zipp_dagster.imaging.image_files import write_shards
    from zipp_dagster.imaging.pipelines import is_truncated

    summary = PersonalSummary()
    shared = _Shared(histories, loaded, settings, options, scratch)
    orders = [
        _Order.of(
            method,
            [pair for pair in requests if pair[1].method == method],
            shared,
            titles,
            existing,
        )
        for method in sorted({r.method for _, r in requests}, key=list(METHODS).index)
    ]
    people = sum(len(order.people()) for order in orders)
    by_method = {order.method: order for order in orders}
    opening = partial(fanout.loaded, elsewhere.load) if elsewhere else fanout.given(loaded)
    engine = elsewhere.fan_out if elsewhere else fanout.IN_LINE
    need = elsewhere.need if elsewhere else fanout.ONE_CORE
    items = _people(orders, shared, titles, summary)
    with fanout.own_errors():
        drawn = engine.stream(opening, _draw_person, items, need=need)
        for done, picture in enumerate(drawn, 1):
            if picture.refused:
                summary.left_out[picture.method] = picture.refused
            elif picture.too_large:
                without = summary.people_left_out.setdefault(picture.method, {})
                without[picture.cost.user_id] = picture.too_large
            else:
                by_method[picture.method].places |= dict.fromkeys(picture.keys, picture.path)
                summary.costs.append(picture.cost)
            progress(done, people, f"people drawn by {picture.method}")
    for order in orders:
        if order.method in summary.left_out:
            continue
        without = summary.people_left_out.get(order.method, {})
        mine = [request for user, request in order.requests if user not in without]
        if not mine:
            summary.left_out[order.method] = next(iter(without.values()))
            continue
        keys = [order.keys[request.case_id] for request in mine]
        summary.requests += len(mine)
        summary.reused += len(set(keys) & order.found)
        summary.drawn += len(set(keys) - order.found)
        cut = {r.prompt: is_truncated(loaded.pipeline, r.prompt) for r in mine}
        summary.files += write_shards(mine, keys, order.places, cut, out_dir, settings.shard_size)
    return summary


@dataclass(frozen=True)
class _Shared:
    """What all people of a call share."""

    histories: Mapping[int, Sequence[PastPicture]]
    loaded: LoadedPipeline
    settings: ImagingSettings
    options: MethodSettings
    scratch: Path


@dataclass
class _Order:
    """What one method has to draw: pictures' keys by case, and the files of those that are there.

    `found` are the keys whose pictures were there before.
    """

    method: str
    step: ImageStep
    requests: Sequence[tuple[int, ImageRequest]]
    keys: Mapping[str, str]
    places: dict[str, Path]
    found: frozenset[str]

    @classmethod
    def of(
        cls,
        method: str,
        requests: Sequence[tuple[int, ImageRequest]],
        shared: _Shared,
        titles: Sequence[str],
        existing: Sequence[Path],
    ) -> _Order:
        """Looks for pictures of the scratch directory and of earlier files."""
        from zipp_dagster.imaging.image_files import locate

        step = METHODS[method].image
        assert step is not None, f"{method} has no image step"
        version = step.version(shared.options, titles)
        evidence = {
            user: step.evidence(shared.histories.get(user, ()))
            for user in {user for user, _ in requests}
        }
        keys = {
            request.case_id: _key(shared.loaded, shared.settings, request, version, evidence[user])
            for user, request in requests
        }
        places = locate(sorted(shared.scratch.glob("*.parquet")), set(keys.values()))
        places.update(locate(existing, set(keys.values()) - places.keys()))
        return cls(method, step, requests, keys, places, frozenset(places))

    def people(self) -> dict[int, list[ImageRequest]]:
        """What is missing, by person."""
        found: dict[int, list[ImageRequest]] = {}
        for user, request in self.requests:
            if self.keys[request.case_id] not in self.places:
                found.setdefault(user, []).append(request)
        return dict(sorted(found.items()))


def _people(
    orders: Sequence[_Order], shared: _Shared, titles: Sequence[str], summary: PersonalSummary
) -> Iterator[_Person]:
    """The items: each method is prepared when its first person's turn comes."""
    for order in orders:
        missing = order.people()
        if not missing:
            continue
        started = time.perf_counter()
        try:
            prepared = order.step.prepare(shared.loaded, titles, shared.options)
        except NotHere as reason:
            summary.left_out[order.method] = str(reason)
            continue
        summary.prepare_seconds[order.method] = time.perf_counter() - started
        for user, requests in missing.items():
            yield _Person(
                order.method,
                user,
                requests,
                [order.keys[request.case_id] for request in requests],
                shared.histories.get(user, ()),
                prepared,
                shared.settings,
                shared.options,
                shared.scratch,
            )


@dataclass(frozen=True)
class _Person:
    """One method's pictures of one person, with all that drawing them takes but the generator."""

    method: str
    user_id: int
    requests: Sequence[ImageRequest]
    keys: Sequence[str]
    history: Sequence[PastPicture]
    prepared: Any
    settings: ImagingSettings
    options: MethodSettings
    scratch: Path


@dataclass(frozen=True)
class _Pictures:
    """What was drawn of a person, or why the method cannot be had (`refused`), or this person's
    pictures cannot (`too_large`).
    """

    method: str
    cost: PersonCost
    keys: Sequence[str] = ()
    path: Path = Path()
    refused: str = ""
    too_large: str = ""


def _draw_person(loaded: LoadedPipeline, person: _Person) -> _Pictures:
    from zipp_dagster.imaging.generation import free_memory, out_of_memory
    from zipp_dagster.imaging.image_files import encode_png, save_batch
    from zipp_dagster.imaging.lanes import one_thread_where_small

    step = METHODS[person.method].image
    assert step is not None
    started = time.perf_counter()
    context = ImageContext(
        [request.prompt for request in person.requests],
        [request.seed for request in person.requests],
        person.history,
        loaded,
        person.settings,
        person.options,
        person.prepared,
    )
    nothing = PersonCost(person.method, person.user_id, 0, 0.0, 0.0, 0.0)
    try:
        with one_thread_where_small(loaded):
            drawn = step.draw(context)
    except NotHere as reason:
        return _Pictures(person.method, nothing, refused=str(reason))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        free_memory()
        first = str(error).partition("\n")[0] or type(error).__name__
        return _Pictures(person.method, nothing, too_large=f"out of memory: {first}")
    spent = time.perf_counter() - started - drawn.fit_seconds
    pictures = {
        key: encode_png(pixels, _provenance(loaded, person.settings, request, key))
        for pixels, request, key in zip(drawn.pixels, person.requests, person.keys, strict=True)
    }
    return _Pictures(
        person.method,
        PersonCost(
            person.method,
            person.user_id,
            len(person.requests),
            drawn.fit_seconds,
            drawn.fit_cpu_seconds,
            max(spent, 0.0),
        ),
        person.keys,
        save_batch(pictures, person.scratch),
    )


def _key(
    loaded: LoadedPipeline,
    settings: ImagingSettings,
    request: ImageRequest,
    version: str,
    evidence: str,
) -> str:
    """SHA-256 of everything that decides the picture's bytes, as 64 hex digits."""
    from zipp_dagster.imaging.generation import request_key

    own = request_key(loaded.version, request.prompt, request.seed, settings)
    parts = [own, request.method, version, evidence]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _provenance(
    loaded: LoadedPipeline, settings: ImagingSettings, request: ImageRequest, key: str
) -> dict[str, str]:
    """What a picture says about itself; nothing of the person."""
    facts: dict[str, Any] = {
        "request": key,
        "model": loaded.version,
        "method": request.method,
        "prompt_sha256": hashlib.sha256(request.prompt.encode()).hexdigest(),
        "seed": request.seed,
        "steps": settings.steps,
        "guidance": settings.guidance,
    }
    return {name: str(value) for name, value in facts.items()}
