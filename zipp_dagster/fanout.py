"""One function over many items, whoever runs it: the seam between stages and engines.

What lives here: what a stage may ask for, and the engine that needs nothing (threads of this
process: most of what is mapped spends its time in DuckDB, zstd, torch or numba, which release the
lock; processes for what does not, `worker_processes`). What does not: the choice by settings and the
engine on a cluster (`zipp_dagster.platform`).

What is mapped is a function of a module with plain data as its item: it may run in another process
on another machine. Files are passed as paths, which every machine must see.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from threading import Lock
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from zipp_dagster.progress import Progress, silent
from zipp_dagster.worker_processes import Submit, worker_processes

Item = TypeVar("Item")
Result = TypeVar("Result")
State = TypeVar("State")
OnError = Literal["raise", "quarantine"]


@dataclass(frozen=True)
class Need:
    """What one item keeps busy while it is in work: cores, GPUs, bytes of memory (0: not told).

    `in_python`: it is mostly Python, so it needs a process of its own to run beside another.
    """

    cpus: float = 1
    gpus: float = 0
    memory_bytes: int = 0
    in_python: bool = False


ONE_CORE = Need()


class ItemError(Exception):
    """A mapped function failed; names the item's position."""


class StoppedItem(Exception):
    """Another item failed; this one stopped at its next report."""


class QuarantinedItems(ItemError):
    """Some items failed, all others are done.

    `results` are in the order of the items, None where an item failed; `errors` by position.
    """

    def __init__(self, results: list[Any], errors: Mapping[int, BaseException]) -> None:
        shown = "; ".join(f"item {at}: {error}" for at, error in sorted(errors.items())[:5])
        more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
        super().__init__(f"{len(errors)} of {len(results)} items failed: {shown}{more}")
        self.results, self.errors = results, dict(errors)


class FanOut(Protocol):
    """An engine. Results come in the order of the items; same items, same results.

    `elsewhere`: items run in other processes, which share nothing that this one has loaded.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether items run in other processes."""
        ...

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
        on_error: OnError = "raise",
    ) -> list[Result]:
        """All results; progress counts items.

        Raises:
            ItemError: chained to what the function raised; the first failure ends the map.
            QuarantinedItems: with `on_error="quarantine"`, once all other items are done.
        """
        ...

    def map_reporting(
        self,
        function: Callable[[Item, Progress], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
    ) -> list[Result]:
        """As `map`, for few long items: each reports its own units, progress tells their sum."""
        ...

    def stream(
        self,
        opening: Callable[[], AbstractContextManager[State]],
        function: Callable[[State, Item], Result],
        items: Iterable[Item],
        *,
        need: Need = ONE_CORE,
    ) -> Iterator[Result]:
        """Results as they are ready, for functions of a state that is dear to open, such as a model.

        `opening` is called once for each item that is in work at once. Items are taken from their
        iterator a few ahead of the caller, never all. The first failure (ItemError) ends it.
        """
        ...


@dataclass(frozen=True)
class Local:
    """One machine, at most `workers` cores at once: threads, or processes for what is in Python."""

    workers: int = 1
    elsewhere: ClassVar[bool] = False

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
        on_error: OnError = "raise",
    ) -> list[Result]:
        """See `FanOut.map`."""
        results: list[Any] = [None] * len(items)
        errors: dict[int, BaseException] = {}
        with self._lanes(need, len(items), nullcontext) as submit:
            futures = [submit(_without_state, (function, item)) for item in items]
            for position, future in enumerate(futures):
                try:
                    results[position] = future.result()
                except Exception as error:
                    if on_error == "raise":
                        raise item_error(position, len(items), error) from error
                    errors[position] = error
                progress(position + 1, len(items))
        if errors:
            raise QuarantinedItems(results, errors)
        return results

    def map_reporting(
        self,
        function: Callable[[Item, Progress], Result],
        items: Sequence[Item],
        progress: Progress = silent,
        *,
        need: Need = ONE_CORE,
    ) -> list[Result]:
        """See `FanOut.map_reporting`. Always in threads: items report as they go."""
        board = Board(progress)
        if len(items) == 1:
            # In the caller's thread, where an interrupt arrives.
            return [_at(0, partial(function, items[0], board.of(0)), 1)]
        with ThreadPoolExecutor(1 if need.in_python else self.at_once(need)) as pool:
            futures = [pool.submit(function, item, board.of(at)) for at, item in enumerate(items)]
            try:
                wait(futures, return_when="FIRST_EXCEPTION")
            finally:
                # After an interrupt too: else leaving the pool would wait for all items.
                board.stopped = any(not future.done() for future in futures)
                for future in futures:
                    future.cancel()
        return _results(futures)

    def stream(
        self,
        opening: Callable[[], AbstractContextManager[State]],
        function: Callable[[State, Item], Result],
        items: Iterable[Item],
        *,
        need: Need = ONE_CORE,
    ) -> Iterator[Result]:
        """See `FanOut.stream`."""
        lanes, taken = self.at_once(need), iter(items)
        first = list(islice(taken, 2))
        if lanes == 1 or len(first) < 2:
            with ExitStack() as opened:
                states = _States(opening, opened)
                for position, item in enumerate(chain(first, taken)):
                    yield _at(position, partial(states.use, function, item))
            return
        waiting: deque[tuple[int, Future[Result]]] = deque()
        with self._lanes(need, len(first), opening) as submit:
            for position, item in enumerate(chain(first, taken)):
                waiting.append((position, submit(function, item)))
                if len(waiting) >= 2 * lanes:
                    at, future = waiting.popleft()
                    yield _at(at, future.result)
            for at, future in waiting:
                yield _at(at, future.result)

    def at_once(self, need: Need) -> int:
        """How many such items are in work at once."""
        if need.gpus:
            return 1
        return max(1, int(self.workers // need.cpus))

    @contextmanager
    def _lanes(
        self, need: Need, items: int, opening: Callable[[], AbstractContextManager[State]]
    ) -> Iterator[Submit]:
        """What puts items in work. An error in the block drops those that are not yet begun."""
        lanes = self.at_once(need)
        if need.in_python and lanes > 1 and items > 1:
            with worker_processes(lanes, opening) as submit:
                yield submit
            return
        with ExitStack() as opened:
            states = _States(opening, opened)
            pool = ThreadPoolExecutor(lanes)
            try:
                yield lambda function, item: pool.submit(states.use, function, item)
            finally:
                pool.shutdown(cancel_futures=True)


IN_LINE = Local()
"""One item after the other, in the caller's thread where it may be: the default of every stage."""


class Board:
    """Adds up what several items report of themselves."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, Lock()
        self.stopped = False
        self._seen: dict[int, tuple[int, int]] = {}

    def of(self, position: int) -> Progress:
        """The progress of one item."""

        def report(done: int, total: int, note: str = "") -> None:
            self.report(position, done, total, note)

        return report

    def report(self, position: int, done: int, total: int, note: str = "") -> None:
        """Tells the sum over all items that have reported; StoppedItem once another failed."""
        if self.stopped:
            raise StoppedItem
        with self._lock:
            self._seen[position] = (done, total)
            done, total = (sum(part) for part in zip(*self._seen.values()))
            self._progress(done, total, note)


class _States(Generic[State]):
    """States that are opened when no other is free, and closed with a stack."""

    def __init__(
        self, opening: Callable[[], AbstractContextManager[State]], stack: ExitStack
    ) -> None:
        self._opening, self._stack, self._lock = opening, stack, Lock()
        self._free: deque[State] = deque()

    def use(self, function: Callable[[State, Item], Result], item: Item) -> Result:
        try:
            state = self._free.pop()
        except IndexError:
            opened = self._opening()
            with self._lock:
                state = self._stack.enter_context(opened)
        try:
            return function(state, item)
        finally:
            self._free.append(state)


def item_error(position: int, total: int, error: BaseException) -> ItemError:
    """What a map raises of a failed item; chain it to the error."""
    return ItemError(f"item {position}{f' of {total}' if total else ''}: {error}")


@contextmanager
def own_errors() -> Iterator[None]:
    """What a mapped function raised, in place of the ItemError: stages promise errors of their own."""
    try:
        yield
    except QuarantinedItems:
        raise
    except ItemError as error:
        cause, error.__cause__ = error.__cause__, None
        if cause is None:
            raise
        # Without its cause, the ItemError does not lead back to what is raised in its place: whoever
        # follows causes and contexts would go round for ever.
        raise cause from None


def given(state: State) -> Callable[[], AbstractContextManager[State]]:
    """An `opening` for a state that is there already and needs no closing; for one process."""
    return partial(_nothing_to_close, state)


def _nothing_to_close(state: State) -> AbstractContextManager[State]:
    return nullcontext(state)


def loaded(load: Callable[..., State], *arguments: Any) -> AbstractContextManager[State]:
    """For `partial(loaded, load, …)`: an `opening` of what is loaded and needs no closing."""
    return nullcontext(load(*arguments))


def need_of_model(device: str) -> Need:
    """What a model keeps busy: a GPU, or all cores."""
    if device.startswith("cuda"):
        return Need(cpus=1, gpus=1)
    return Need(cpus=os.cpu_count() or 1)


def _without_state(_: None, call: tuple[Callable[[Item], Result], Item]) -> Result:
    function, item = call
    return function(item)


def _at(position: int, call: Callable[[], Result], total: int = 0) -> Result:
    try:
        return call()
    except Exception as error:
        raise item_error(position, total, error) from error


def _results(futures: Sequence[Future[Result]]) -> list[Result]:
    for position, future in enumerate(futures):
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, StoppedItem):
            raise item_error(position, len(futures), error) from error
    return [future.result() for future in futures]
