"""Mapping on a Ray cluster: the `FanOut` whose items are tasks, or calls of a pool of actors.

What does not live here: reaching the cluster (`ray_connection`) and the loop that keeps a bounded
number of items in flight and puts lost ones in again (`ray_flow`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from zipp_dagster.fanout import (
    ONE_CORE,
    Item,
    Need,
    OnError,
    QuarantinedItems,
    Result,
    State,
    item_error,
)
from zipp_dagster.platform.config import ComputeSettings
from zipp_dagster.platform.ray_connection import Room, ensure_connected, room_for
from zipp_dagster.platform.ray_flow import Flow
from zipp_dagster.platform.ray_lanes import Actors, Failed, Tasks
from zipp_dagster.platform.ray_reports import Reports
from zipp_dagster.progress import Progress, silent


def connect(settings: ComputeSettings) -> RayEngine:
    """The engine of a cluster that is reached now. Raises ComputeError."""
    ensure_connected(settings)
    return RayEngine(settings)


@dataclass(frozen=True)
class RayEngine:
    """A `FanOut` on the cluster that this process is connected to."""

    settings: ComputeSettings
    elsewhere: ClassVar[bool] = True

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
        on_error: OnError = "raise",
    ) -> list[Result]:
        """See `FanOut.map`. Each item is a Ray task."""
        return self._tasks(function, items, progress, need, None, on_error)

    def map_reporting(
        self,
        function: Callable[[Item, Progress], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
    ) -> list[Result]:
        """See `FanOut.map_reporting`. Reports come back through an actor, twice a second."""
        with Reports(progress) as reports:
            return self._tasks(function, items, silent, need, reports, "raise")

    def stream(
        self,
        opening: Callable[[], AbstractContextManager[State]],
        function: Callable[[State, Item], Result],
        items: Iterable[Item],
        *,
        need: Need = ONE_CORE,
    ) -> Iterator[Result]:
        """See `FanOut.stream`. Each state is an actor; their number follows work and room."""
        room, settings = self._room(need), self.settings
        most = settings.max_actors if settings.autoscaling else min(settings.max_actors, room.items)
        lanes = Actors(opening, function, room, min(settings.min_actors, most), most)
        limit = settings.in_flight or 2 * most
        with Flow(lanes, items, limit, settings.max_retries) as flow:
            for position, result in enumerate(flow.in_order()):
                if isinstance(result, Failed):
                    raise item_error(position, 0, result.error) from result.error
                yield result

    def _tasks(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        progress: Progress,
        need: Need,
        reports: Reports | None,
        on_error: OnError,
    ) -> list[Any]:
        room = self._room(need)
        results: list[Any] = [None] * len(items)
        errors: dict[int, BaseException] = {}
        limit = self.settings.in_flight or 2 * room.items
        lanes = Tasks(function, room, reports)
        with Flow(lanes, items, limit, self.settings.max_retries) as flow:
            for count, (position, result) in enumerate(flow.as_completed(), 1):
                if not isinstance(result, Failed):
                    results[position] = result
                elif on_error == "raise":
                    raise item_error(position, len(items), result.error) from result.error
                else:
                    errors[position] = result.error
                progress(count, len(items))
        if errors:
            raise QuarantinedItems(results, errors)
        return results

    def _room(self, need: Need) -> Room:
        ensure_connected(self.settings)
        return room_for(need, self.settings)
