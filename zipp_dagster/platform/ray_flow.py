"""The loop of a map on Ray: a bounded number of items in flight, lost ones put in again.

A worker that is lost (killed, out of memory, its machine gone or full) loses nothing: its items are
put in again, `max_retries` times each. A function that raises is not asked again, as it would raise
again; what passes (a network, a busy endpoint) is retried where it happens. Ray's own retries are
off: so tasks and actors are treated alike, and every loss is logged and counted.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

from zipp_dagster.platform.ray_lanes import Failed

WAIT_SECONDS = 0.5
"""Between two looks at progress and at machines that came or went."""

START_SECONDS = 0.05
"""Between two looks at whether the first worker has started."""

_log = logging.getLogger(__name__)


class WorkerLost(Exception):
    """The workers of an item were lost each time; it may be the item that kills them."""


class Lanes(Protocol):
    """Where items run."""

    def has_room(self) -> bool:
        """Whether another item may be put in now; may make room first."""
        ...

    def submit(self, position: int, item: Any, again: bool) -> Any:
        """Puts an item in; returns the reference of its result."""
        ...

    def finished(self, reference: Any, lost: bool) -> None:
        """Told of each reference once, when its result is there or will never be."""
        ...

    def poll(self, exhausted: bool) -> None:
        """Called now and then; `exhausted` once no new item will come."""
        ...

    def cancel(self, reference: Any) -> None:
        """Stops an item whose result nobody wants any more, by force."""
        ...

    def close(self) -> None:
        """Gives everything back."""
        ...


class Flow:
    """Items through lanes; a context manager that stops what is still in flight at its end."""

    def __init__(self, lanes: Lanes, items: Iterable[Any], limit: int, max_retries: int) -> None:
        self._lanes, self._items = lanes, enumerate(items)
        self._limit, self._max_retries = limit, max_retries
        self._exhausted = False
        self._flying: dict[Any, tuple[int, Any]] = {}
        self._new: deque[tuple[int, Any]] = deque(maxlen=1)
        self._again: deque[tuple[int, Any]] = deque()
        self._losses: dict[int, int] = {}
        self._held: dict[int, Any] = {}

    def as_completed(self) -> Iterator[tuple[int, Any]]:
        """Positions and results (or `Failed`), in the order in which they are ready."""
        import ray

        while self._fill():
            ready: list[Any] = []
            if self._flying:
                ready, _ = ray.wait(list(self._flying), num_returns=1, timeout=WAIT_SECONDS)
            else:
                time.sleep(START_SECONDS)
            self._lanes.poll(self._exhausted and not self._again and not self._new)
            for reference in ready:
                position, item = self._flying.pop(reference)
                result, loss = self._outcome(reference)
                self._lanes.finished(reference, loss is not None)
                if loss is None:
                    yield position, result
                elif not self._put_back(position, item, loss):
                    yield position, self._given_up(position, loss)

    def in_order(self) -> Iterator[Any]:
        """Results in the order of the items; those that wait for an earlier one count as in flight."""
        following = 0
        for position, result in self.as_completed():
            self._held[position] = result
            while following in self._held:
                yield self._held.pop(following)
                following += 1

    def __enter__(self) -> Flow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for reference in self._flying:
            self._lanes.cancel(reference)
        self._flying.clear()
        self._lanes.close()

    def _fill(self) -> bool:
        """Puts items in while there is room; False once none is left anywhere."""
        while (upcoming := self._upcoming()) and self._lanes.has_room():
            position, item = upcoming.popleft()
            again = upcoming is self._again
            self._flying[self._lanes.submit(position, item, again)] = (position, item)
        return bool(self._flying or self._again or self._new)

    def _upcoming(self) -> deque[tuple[int, Any]] | None:
        """The queue of the next item: lost ones first, new ones up to the limit."""
        if self._again:
            return self._again
        if not self._new and not self._exhausted:
            try:
                self._new.append(next(self._items))
            except StopIteration:
                self._exhausted = True
        held_back = len(self._flying) + len(self._held) >= self._limit
        return self._new if self._new and not held_back else None

    def _outcome(self, reference: Any) -> tuple[Any, BaseException | None]:
        """The result, or why it was lost."""
        import ray

        try:
            result = ray.get(reference)
        except ray.exceptions.RayError as error:
            return None, error
        if isinstance(result, Failed) and _disk_full(result.error):
            return None, result.error
        return result, None

    def _put_back(self, position: int, item: Any, loss: BaseException) -> bool:
        losses = self._losses[position] = self._losses.get(position, 0) + 1
        if losses > self._max_retries:
            return False
        first_line = str(loss).strip().split("\n", 1)[0]
        _log.warning(
            "item %d lost its worker, try %d of %d: %s: %s",
            position,
            losses + 1,
            self._max_retries + 1,
            type(loss).__name__,
            first_line,
        )
        self._again.append((position, item))
        return True

    def _given_up(self, position: int, loss: BaseException) -> Failed:
        if isinstance(loss, OSError):
            return Failed(loss)
        error = WorkerLost(
            f"its worker was lost {self._losses[position]} times (compute.max_retries="
            f"{self._max_retries}), the last time by {type(loss).__name__}: {loss}"
        )
        error.__cause__ = loss
        return Failed(error)


def _disk_full(error: BaseException) -> bool:
    """A full disk is the machine's fault, not the item's: another machine may have room."""
    return isinstance(error, OSError) and error.errno == errno.ENOSPC
