"""Where the items of a Ray map run: tasks, or actors that hold a state.

Remote functions are made when they are used: Ray is not imported before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from zipp_dagster.platform.ray_connection import Room
from zipp_dagster.platform.ray_reports import Reports, reporting

QUEUED = 2
"""Items that an actor has at once: one in work, one that it begins without asking the driver."""

CLOSE_SECONDS = 10.0


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failed:
    """What a function raised, as a value: Ray would wrap it in an error of its own."""

    error: BaseException


class Tasks:
    """Each item a Ray task, on whichever machine has room."""

    def __init__(self, function: Callable[..., Any], room: Room, reports: Reports | None) -> None:
        import ray

        self._options = room.options | {"max_retries": 0}
        self._remote = ray.remote(_run)
        self._function, self._board = function, reports.board if reports else None
        self._reports = reports

    def has_room(self) -> bool:
        """Ray queues what has no room: the flow's limit is the only one."""
        return True

    def submit(self, position: int, item: Any, again: bool) -> Any:
        """A lost item is spread, so that it seldom meets the same machine again."""
        options = self._options | ({"scheduling_strategy": "SPREAD"} if again else {})
        remote = self._remote.options(**options)
        return remote.remote(self._function, item, position, self._board)

    def finished(self, reference: Any, lost: bool) -> None:
        """Nothing is kept of a task."""

    def poll(self, exhausted: bool) -> None:
        """Hands on what the items have reported."""
        if self._reports:
            self._reports.poll()

    def cancel(self, reference: Any) -> None:
        """By force: compiled code does not look at interrupts."""
        import ray

        ray.cancel(reference, force=True)

    def close(self) -> None:
        """The last reports: one read may be on its way, the next sees all."""
        if self._reports:
            self._reports.poll(CLOSE_SECONDS)
            self._reports.poll(CLOSE_SECONDS)


class Actors:
    """A pool of actors that each hold a state: as many as there is work and room for.

    Items go to actors that have started; while work waits, as many more as there are may be starting.
    """

    def __init__(
        self,
        opening: Callable[[], AbstractContextManager[Any]],
        function: Callable[[Any, Any], Any],
        room: Room,
        fewest: int,
        most: int,
    ) -> None:
        import ray

        self._class: Any = ray.remote(StateHolder).options(**room.options, max_restarts=0)
        self._arguments = (opening, function)
        self._fewest, self._most = fewest, most
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, int] = {}
        self._actor_of: dict[Any, Any] = {}

    def has_room(self) -> bool:
        """Starts actors where all are busy. An item of one's own goes before a place in a queue."""
        self._settle()
        idle = 0 in self._busy.values()
        while not idle and self._may_start():
            actor = self._class.remote(*self._arguments)
            self._starting[actor.started.remote()] = actor
        return any(count < QUEUED for count in self._busy.values())

    def submit(self, position: int, item: Any, again: bool) -> Any:
        """To the actor with the least to do."""
        actor = min(self._busy, key=lambda each: self._busy[each])
        reference = actor.run.remote(item)
        self._busy[actor] += 1
        self._actor_of[reference] = actor
        return reference

    def finished(self, reference: Any, lost: bool) -> None:
        """A lost actor is forgotten; the next item starts another."""
        import ray

        actor = self._actor_of.pop(reference)
        if lost and self._busy.pop(actor, None) is not None:
            ray.kill(actor)
        elif actor in self._busy:
            self._busy[actor] -= 1

    def poll(self, exhausted: bool) -> None:
        """Once no item will come, idle actors free their GPUs for others."""
        if exhausted:
            self._settle()
            self._end([actor for actor, count in self._busy.items() if count == 0])

    def cancel(self, reference: Any) -> None:
        """Its actor ends with the pool."""

    def close(self) -> None:
        """Closes the states of idle actors and ends all.

        Those that are starting are let go: Ray ends an actor that nobody has once it has done what it
        was asked, here to start. A kill may meet a worker that does not know yet that it is this actor;
        it is ignored, and the core is taken for ever.
        """
        self._starting.clear()
        self._end(list(self._busy))

    def _may_start(self) -> bool:
        total = len(self._busy) + len(self._starting)
        return total < self._fewest or (
            total < self._most and len(self._starting) < max(1, len(self._busy))
        )

    def _settle(self) -> None:
        """Moves the actors that have started; forgets those that were lost before."""
        import ray

        if not self._starting:
            return
        ready, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
        for reference in ready:
            actor = self._starting.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayError as error:
                _log.warning("an actor was lost before it started: %s", error)
            else:
                self._busy[actor] = 0

    def _end(self, actors: list[Any]) -> None:
        import ray

        closing = [actor.close.remote() for actor in actors if self._busy[actor] == 0]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for actor in actors:
            del self._busy[actor]
            ray.kill(actor)


class StateHolder:
    """The actor: opens its state with its first item, keeps it for all others."""

    def __init__(
        self,
        opening: Callable[[], AbstractContextManager[Any]],
        function: Callable[[Any, Any], Any],
    ) -> None:
        self._opening, self._function = opening, function
        self._context: AbstractContextManager[Any] | None = None
        self._state: Any = None

    def started(self) -> None:
        """Answers once the actor has a machine."""

    def run(self, item: Any) -> Any:
        """The function's result, or `Failed`."""
        try:
            if self._context is None:
                context = self._opening()
                self._state = context.__enter__()
                self._context = context
            return self._function(self._state, item)
        except Exception as error:  # noqa: BLE001  (the driver decides)
            return Failed(_portable(error))

    def close(self) -> None:
        """Closes the state."""
        context, self._context, self._state = self._context, None, None
        if context is not None:
            context.__exit__(None, None, None)


def _run(function: Callable[..., Any], item: Any, position: int, board: Any) -> Any:
    """The task: the function's result, or `Failed`."""
    try:
        return function(item) if board is None else function(item, reporting(board, position))
    except Exception as error:  # noqa: BLE001  (the driver decides)
        return Failed(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; another one in its place if it does not travel."""
    import traceback

    import ray

    place = f"{ray.util.get_node_ip_address()}, in {''.join(traceback.format_exception(error))}"
    try:
        travelled = ray.cloudpickle.loads(ray.cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001  (whatever its own pickling raises)
        travelled = None
    if type(travelled) is not type(error):
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"On {place}")
    return error
