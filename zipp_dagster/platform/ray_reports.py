"""Progress on its way back from a cluster: items tell an actor, the driver asks it now and then."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any

from zipp_dagster.fanout import Board
from zipp_dagster.progress import Progress

REPORT_SECONDS = 0.5
_log = logging.getLogger(__name__)


class Reports:
    """Brings the reports of items back to a progress of this process."""

    def __init__(self, progress: Progress) -> None:
        self._progress = Board(progress)
        self._told: dict[int, tuple[int, int, str]] = {}
        self._asked: Any = None
        self.board: Any = None

    def __enter__(self) -> Reports:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # On this machine: it must outlive the machines that report. Ray asks a random one to start it,
        # which may just have been lost: then again.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1}
        self.board = ray.remote(ReportBoard).options(**options).remote()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import ray

        ray.kill(self.board)

    def poll(self, wait_seconds: float = 0.0) -> None:
        """Hands on what has changed, as far as the board has answered by then."""
        import ray

        if self._asked is None:
            self._asked = self.board.read.remote()
        ready, _ = ray.wait([self._asked], timeout=wait_seconds)
        if not ready:
            return
        asked, self._asked = self._asked, None
        try:
            reports = ray.get(asked)
        except ray.exceptions.RayActorError as error:
            # Work does not fail for want of a progress bar; the board comes back, and is asked again.
            _log.warning("progress of items is not known for now: %s", error)
            return
        for position, report in sorted(reports.items()):
            if self._told.get(position) != report:
                self._told[position] = report
                self._progress.report(position, *report)


class ReportBoard:
    """The actor that items report to: the latest of each."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[int, int, str]] = {}

    def write(self, position: int, done: int, total: int, note: str) -> None:
        """Keeps a report."""
        self._latest[position] = (done, total, note)

    def read(self) -> dict[int, tuple[int, int, str]]:
        """All reports."""
        return self._latest


def reporting(board: Any, position: int) -> Progress:
    """A progress, in another process, that tells a `ReportBoard`."""
    told = [0.0]

    def report(done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done >= total > 0 or now - told[0] >= REPORT_SECONDS:
            told[0] = now
            board.write.remote(position, done, total, note)

    return report
