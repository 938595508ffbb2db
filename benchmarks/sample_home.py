"""A throw-away platform for a benchmark: an own ZIPP_HOME with the sample profile, in this process.

What lives here: environment and caches. What does not: what is measured.
"""

from __future__ import annotations

import contextlib
import os
import platform as host
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zipp_dagster import settings as settings_module

if TYPE_CHECKING:
    from zipp_dagster.platform.catalogue import Platform
    from zipp_dagster.platform.materialise import Outcome

PREFIX = settings_module.PREFIX


@contextlib.contextmanager
def sample_home(values: Mapping[str, object]) -> Iterator[Platform]:
    """The platform of a fresh temporary ZIPP_HOME, with settings such as `{"encoder.epochs": 4}`.

    The caller's own ZIPP_ variables are out of sight meanwhile, so that figures compare. The
    environment is as before afterwards, and the home is gone.

    Raises:
        SettingsError: a setting does not exist or is out of range.
    """
    from zipp_dagster.runner import local_platform

    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="zipp-benchmark-") as home:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ[PREFIX + "HOME"] = home
        for key, value in values.items():
            os.environ[PREFIX + key.upper().replace(".", "__")] = str(value)
        settings_module.settings.cache_clear()
        try:
            yield local_platform()
        finally:
            os.environ.clear()
            os.environ.update(before)
            settings_module.settings.cache_clear()


class Errors:
    """Watches a run and keeps the messages of what failed."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def started(self, asset: str, partition: str | None) -> None:
        """Nothing to note."""

    def progressed(self, done: int, total: int, note: str = "") -> None:
        """Nothing to note."""

    def finished(self, outcome: Outcome) -> None:
        """Notes the blocking checks that kept a version from becoming current."""
        self.messages += [
            f"{outcome.artifact.name}: check {report.name}: {report.outcome.description}"
            for report in outcome.failed_blocking_checks
        ]

    def failed(self, asset: str, partition: str | None, error: BaseException) -> None:
        """Notes the error."""
        name = asset if partition is None else f"{asset}[{partition}]"
        self.messages.append(f"{name}: {type(error).__name__}: {error}")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": host.processor() or host.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": host.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def manifests(lake: Path) -> list[Path]:
    """Every manifest of a lake."""
    return sorted(lake.glob("*/*/*/manifest.json"))
