"""What the tests map: functions of a module, which the cluster's processes import."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path


def square(x: int) -> int:
    return x * x


def where(_: int) -> tuple[str, int]:
    import ray

    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id(), os.getpid()


def poison(x: int) -> int:
    if x % 3 == 1:
        raise ValueError(f"item {x} is burnt")
    return x


class Stubborn(Exception):
    """Cannot be made again from its arguments, so it does not travel."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def stubborn(_: int) -> None:
    raise Stubborn("no", "way")


def die_once(item: tuple[Path, int]) -> int:
    """The worker of each item is killed the first time."""
    folder, x = item
    mark = folder / f"died-{x}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * x


def always_die(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def full_once(item: tuple[Path, int]) -> int:
    import errno

    folder, x = item
    mark = folder / f"full-{x}"
    if not mark.exists():
        mark.touch()
        raise OSError(errno.ENOSPC, "No space left on device")
    return x


def marked(item: tuple[Path, int]) -> tuple[int, str]:
    """Says that it has begun, and takes a while."""
    import ray

    folder, x = item
    node = ray.get_runtime_context().get_node_id()
    (folder / f"{x}-{node}").touch()
    time.sleep(1.0)
    return x, node


def crumbs(item: int, progress) -> int:
    for done in range(1, item + 1):
        time.sleep(0.6)
        progress(done, item, "crumbs")
    return item


@contextmanager
def oven():
    yield {"pid": os.getpid(), "baked": 0}


@contextmanager
def broken_oven():
    raise RuntimeError("no gas")
    yield


def bake(state: dict, item: int) -> tuple[int, int, int]:
    state["baked"] += 1
    time.sleep(0.3)
    return item, state["pid"], state["baked"]


def bake_and_die_once(state: dict, item: tuple[Path, int]) -> int:
    return die_once(item)


def killed_after(function, folder: Path, state, item):
    """The second item of all does its work, and then its worker is killed."""
    result = function(state, item)
    if _turn(folder) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def killed_while_it_reports(function, folder: Path, item, progress):
    """The first worker that has reported twice, or is nearly done, is killed in the middle."""
    reports = [0]

    def report(done: int, total: int, note: str = "") -> None:
        reports[0] += 1
        progress(done, total, note)
        if (reports[0] == 2 or done >= total) and _turn(folder) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return function(item, report)


def _turn(folder: Path) -> int:
    """1 for the first that asks, 2 for the second, and so on, over all processes."""
    number = 1
    while True:
        try:
            (folder / f"turn-{number}").touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return number


class Mean:
    """Embeds an image as its two mean bytes."""

    def embed_images(self, images):
        import numpy as np

        return np.array([[len(image), sum(image) / len(image)] for image in images], np.float32)
