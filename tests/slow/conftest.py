"""A real `zipp` process on a world of forty people."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TINY = {
    "ZIPP_SAMPLEWORLD__PEOPLE": "40",
    "ZIPP_SAMPLEWORLD__COMMUNITIES": "12",
    "ZIPP_SAMPLEWORLD__MONTHS": "2",
    "ZIPP_SAMPLEWORLD__IMAGE_SIZE": "16",
    "ZIPP_SAMPLEWORLD__BAD_LINES_PER_FILE": "1",
    "ZIPP_WAREHOUSE__THREADS": "1",
    "ZIPP_WAREHOUSE__MEMORY_LIMIT": "512MB",
}
Zipp = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def zipp() -> Iterator[Zipp]:
    """`zipp(home, "run", ZIPP_…=…)` starts a process with its output in pipes.

    What a failed test left running is killed at the end, with all that it started.
    """
    started: list[subprocess.Popen[str]] = []

    def start(home: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
        ours = TINY | {"ZIPP_HOME": str(home)} | {k: str(v) for k, v in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "zipp_dagster.cli", *arguments],
            env=os.environ | ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
