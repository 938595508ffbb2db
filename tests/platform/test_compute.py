from __future__ import annotations

import threading
import time

import pytest

from zipp_dagster.platform.compute import Compute, ItemError
from zipp_dagster.platform.config import ComputeSettings


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    assert Compute(3).map(lambda x: time.sleep(0.02 * x) or x * x, [3, 2, 1, 0]) == [9, 4, 1, 0]


def test_no_items_are_no_results():
    assert Compute().map(lambda x: x, []) == []


def test_never_more_items_are_in_work_than_there_are_workers():
    lock, now, most = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    Compute.from_settings(ComputeSettings(workers=2)).map(work, range(8))
    assert most[0] == 2


def test_a_failure_names_the_item_keeps_its_cause_and_ends_the_map():
    done = []

    def work(x: int) -> None:
        if x == 1:
            raise ValueError("burnt")
        done.append(x)

    with pytest.raises(ItemError, match="item 1 of 50: burnt") as error:
        Compute(1).map(work, list(range(50)))
    assert isinstance(error.value.__cause__, ValueError)
    assert len(done) < 50


def test_progress_counts_every_item():
    seen = []
    Compute(2).map(lambda x: x, "abc", lambda done, total, note="": seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
