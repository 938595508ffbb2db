"""Processes beside this one, for work that is mostly Python: threads would take turns at it.

What lives here: starting them, handing items over, and seeing that none outlives its work. What does
not: when to have them (`fanout`), and other machines (`zipp_dagster.platform`).

Workers start afresh (spawn): a fork of a process with threads of DuckDB or torch may hang.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
State = TypeVar("State")

_ABANDONED = 70
"""Exit status of a worker whose parent is gone."""


class Submit(Protocol):
    """Puts one item in work; see `worker_processes`."""

    def __call__(self, function: Callable[[Any, Item], Result], item: Item) -> Future[Result]:
        """The result of `function(state, item)`, later."""
        ...


@contextmanager
def worker_processes(
    workers: int, opening: Callable[[], AbstractContextManager[State]]
) -> Iterator[Submit]:
    """So many processes, each with a state that it opens before its first item.

    Functions, openings, items and results are pickled. All workers end with the block: at once after
    an error in it or an interrupt, and when this process is killed.
    """
    spawn = multiprocessing.get_context("spawn")
    lifeline, ours = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, spawn, _begin, (lifeline, opening))
    try:
        yield lambda function, item: pool.submit(_work, function, item)
        pool.shutdown()
    finally:
        # Nothing is ever written there: that this end is closed is what the workers wait for.
        ours.close()
        pool.shutdown(cancel_futures=True)
        lifeline.close()


def _begin(lifeline: Connection, opening: Callable[[], AbstractContextManager[Any]]) -> None:
    # An interrupt reaches the whole group of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    global _worker
    _worker = _Worker(opening)
    Finalize(None, _worker.close, exitpriority=100)


def _end_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(_ABANDONED)


class _Worker:
    """The state of this process, once it is asked for: what fails then is an item's own error."""

    def __init__(self, opening: Callable[[], AbstractContextManager[Any]]) -> None:
        self._opening, self._stack = opening, ExitStack()
        self._opened: list[Any] = []

    def use(self, function: Callable[[Any, Item], Result], item: Item) -> Result:
        if self._opened:
            return function(self._opened[0], item)
        self._opened.append(self._stack.enter_context(self._opening()))
        result = function(self._opened[0], item)
        # What is loaded by now stays to the end: the collector need not go through it ever again.
        gc.collect()
        gc.freeze()
        # What an item makes is let go with it, and cycles are few: looking for them a tenth as often.
        gc.set_threshold(10 * gc.get_threshold()[0], *gc.get_threshold()[1:])
        return result

    def close(self) -> None:
        self._stack.close()


_worker: _Worker


def _work(function: Callable[[Any, Item], Result], item: Item) -> Result:
    return _worker.use(function, item)
