"""What a piece of work costs: peak memory and bytes, sampled or read from the kernel's counters."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil


class PeakMemory:
    """The largest anonymous and total resident memory of a process while it is open, sampled.

    Of this process, unless another is named. `anonymous` leaves out mapped files, whose pages the
    kernel takes back whenever they are wanted elsewhere.
    """

    def __init__(self, pid: int | None = None, seconds: float = 0.05) -> None:
        self._process, self._seconds = psutil.Process(pid), seconds

    def __enter__(self) -> PeakMemory:
        self.anonymous = self.total = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                memory = self._process.memory_info()
            except psutil.NoSuchProcess:
                return
            self.anonymous = max(self.anonymous, memory.rss - memory.shared)
            self.total = max(self.total, memory.rss)


def peak_rss() -> int:
    """The peak of this process alone: `ru_maxrss` would begin with that of the process before it."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def disk_io() -> tuple[int, int]:
    """Bytes that this process has read from disk and written to it; what the cache held is not in."""
    counters = psutil.Process().io_counters()
    return counters.read_bytes, counters.write_bytes


def bytes_on_disk(folder: Path) -> int:
    """Blocks that the files below a folder take: less than their lengths where files have holes."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += 512 * Path(parent, name).lstat().st_blocks
            except FileNotFoundError:
                continue  # a temporary file that was there a moment ago
    return total
