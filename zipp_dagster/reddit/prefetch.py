"""Overlaps two steps of a stream: a generator runs in a thread, a few items ahead of its reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()


def prefetch(source: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Yields the items of `source` in order; its errors surface here; closing stops the thread.

    Worth a thread only where `source` releases the interpreter lock, as decompression does.
    """
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def hand_over(item: object) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in source:
                if not hand_over(item):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            hand_over(error)
            return
        hand_over(_END)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
        if isinstance(source, Generator):
            source.close()  # so that what it holds, another thread perhaps, ends now
