"""The artist: one process that draws, a queue before it, visitors before studies.

A process of its own keeps pages fast while pictures are drawn: torch would hold Python's lock. It
ends with the server, also where the server was killed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from zipp_dagster.studio.sketches import PairRequest, Sketch, draw_pair, draw_sketch

VISITOR, STUDY = 0, 1
Job = Sketch | PairRequest


class Busy(RuntimeError):
    """So many visitors wait already that another one should come back later."""


def draw(job: Job) -> Any:
    """Draws in whichever process calls it."""
    return draw_sketch(job) if isinstance(job, Sketch) else draw_pair(job)


class Artist:
    """Draws one job at a time. `executor` is a process pool unless a test brings another one."""

    def __init__(
        self,
        queue_limit: int = 24,
        threads: int = 1,
        *,
        executor: Callable[[], Executor] | None = None,
        function: Callable[[Job], Any] = draw,
    ) -> None:
        self.queue_limit = queue_limit
        self.function = function
        self._new = executor or (lambda: _own_process(threads))
        self._jobs: queue.PriorityQueue[tuple[int, int, int, Job | None, Future[Any]]]
        self._jobs = queue.PriorityQueue()
        self._number = itertools.count()
        self._waiting = 0
        self._lock = threading.Lock()
        self._executor = self._new()
        self._thread = threading.Thread(target=self._work, name="artist", daemon=True)
        self._thread.start()

    def visitor(self, sketch: Sketch) -> Future[Any]:
        """A visitor's sketch, before all pairs of studies. Busy where too many wait."""
        with self._lock:
            if self._waiting >= self.queue_limit:
                raise Busy("many people are drawing at the moment; try again in a minute")
            self._waiting += 1
        future = self._put(VISITOR, 0, sketch)
        future.add_done_callback(self._one_less)
        return future

    def pair(self, request: PairRequest, position: int) -> Future[Any]:
        """A pair of a study; pairs that come early for their participant are drawn first."""
        return self._put(STUDY, position, request)

    def stop(self) -> None:
        """Ends after the job at hand; what waits is cancelled."""
        self._put(-1, 0, None)
        self._thread.join(timeout=60)
        self._executor.shutdown(cancel_futures=True)

    def _put(self, priority: int, position: int, job: Job | None) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((priority, position, next(self._number), job, future))
        return future

    def _one_less(self, _: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1

    def _work(self) -> None:
        while True:
            *_, job, future = self._jobs.get()
            if job is None:
                break
            # From here on a caller cannot cancel any more; before, it may have.
            if future.set_running_or_notify_cancel():
                self._draw(job, future)
        while not self._jobs.empty():
            self._jobs.get_nowait()[-1].cancel()

    def _draw(self, job: Job, future: Future[Any]) -> None:
        try:
            future.set_result(self._executor.submit(self.function, job).result())
        except BrokenProcessPool as error:
            self._executor = self._new()
            future.set_exception(error)
        # Whatever a model or a library raises belongs to the caller, not to this thread.
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)


def _own_process(threads: int) -> Executor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(threads,))


def _prepare(threads: int) -> None:
    """In the new process: few threads, low priority, and no life after the server's end."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.nice(5)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    from zipp_dagster.cli import quieten

    quieten()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(0)
