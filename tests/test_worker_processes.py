from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from zipp_dagster.fanout import ItemError, Local, Need, QuarantinedItems, given

PYTHON = Need(in_python=True)


# What is mapped: the workers import this module.
def double(x: int) -> int:
    return 2 * x


def pid_and(item: int) -> tuple[int, int]:
    return os.getpid(), item


def poison(x: int) -> int:
    if x % 2:
        raise ValueError(f"item {x} is burnt")
    return x


def nap(seconds: float) -> None:
    time.sleep(seconds)


def killed(x: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def shop(folder: Path):
    (folder / f"opened-{os.getpid()}").touch()
    yield folder
    (folder / f"closed-{os.getpid()}").touch()


class Opening:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self):
        return shop(self.folder)


def sell(folder: Path, item: int) -> int:
    time.sleep(0.05)
    return 10 * item


@contextmanager
def locked():
    raise PermissionError("the shop is closed")
    yield


def in_state(state: str, item: int) -> str:
    return f"{state}{item}"


def in_state_slowly(state: str, item: int) -> str:
    nap(60 if item else 0)
    return f"{state}{item}"


def children() -> list[psutil.Process]:
    every = psutil.Process().children(recursive=True)
    return [child for child in every if "spawn_main" in " ".join(child.cmdline())]


def ended(processes: list[psutil.Process], seconds: float = 10) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_python_runs_in_other_processes_and_results_keep_the_order():
    found = Local(2).map(pid_and, list(range(6)), need=PYTHON)
    assert [item for _, item in found] == list(range(6))
    assert os.getpid() not in {pid for pid, _ in found}


@pytest.mark.parametrize(("workers", "items"), [(1, [1, 2]), (2, [1])])
def test_what_cannot_run_side_by_side_stays_in_this_process(workers, items):
    found = Local(workers).map(pid_and, items, need=PYTHON)
    assert {pid for pid, _ in found} == {os.getpid()}


def test_a_failure_in_a_worker_names_its_item_and_keeps_its_type():
    with pytest.raises(ItemError, match="item 1 of 3: item 1 is burnt") as error:
        Local(2).map(poison, [0, 1, 2], need=PYTHON)
    assert isinstance(error.value.__cause__, ValueError)


def test_a_poison_item_in_a_worker_is_quarantined():
    with pytest.raises(QuarantinedItems) as error:
        Local(2).map(poison, [0, 1, 2], need=PYTHON, on_error="quarantine")
    assert error.value.results == [0, None, 2]


def test_a_killed_worker_is_an_error_and_no_wait_for_ever():
    with pytest.raises(ItemError, match="terminated abruptly"):
        Local(2).map(killed, [0, 1, 2], need=PYTHON)


def test_each_worker_opens_one_state_and_closes_it(tmp_path):
    stream = Local(2).stream(Opening(tmp_path), sell, range(8), need=PYTHON)
    assert list(stream) == [10 * item for item in range(8)]
    opened = {path.name.removeprefix("opened-") for path in tmp_path.glob("opened-*")}
    closed = {path.name.removeprefix("closed-") for path in tmp_path.glob("closed-*")}
    assert opened == closed and 1 <= len(opened) <= 2


def test_a_state_that_cannot_be_opened_is_the_error_of_the_item():
    with pytest.raises(ItemError, match="item 0: the shop is closed"):
        list(Local(2).stream(locked, in_state, [0, 1, 2], need=PYTHON))


def test_a_stream_that_is_left_leaves_no_process():
    stream = Local(2).stream(given(""), in_state_slowly, range(100), need=PYTHON)
    assert next(stream) == "0"
    started = children()
    assert started
    begun = time.monotonic()
    stream.close()
    assert ended(started)
    # Not after the items that are in work, which take a minute each.
    assert time.monotonic() - begun < 20


def test_workers_end_with_a_parent_that_is_killed():
    script = (
        "from zipp_dagster.fanout import Local, Need\n"
        "from tests.test_worker_processes import nap\n"
        "if __name__ == '__main__':\n"
        "    Local(2).map(nap, [600, 600], need=Need(in_python=True))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1])
    process = psutil.Process(parent.pid)
    workers: list[psutil.Process] = []
    until = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < until:
        time.sleep(0.2)
        workers = [c for c in process.children() if "spawn_main" in " ".join(c.cmdline())]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    assert ended(workers)
