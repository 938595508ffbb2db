from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from zipp_dagster.fanout import ItemError, Local, Need, QuarantinedItems, own_errors
from zipp_dagster.platform.compute import engine_of
from zipp_dagster.platform.config import ComputeSettings


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __call__(self, *_: object) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    assert Local(3).map(lambda x: time.sleep(0.02 * x) or x * x, [3, 2, 1, 0]) == [9, 4, 1, 0]


def test_no_items_are_no_results():
    assert Local().map(lambda x: x, []) == []


def test_never_more_items_are_in_work_than_there_are_workers():
    crowd = Crowd()
    engine_of(ComputeSettings(workers=2)).map(crowd, range(8))
    assert crowd.most == 2


@pytest.mark.parametrize("need", [Need(cpus=2), Need(cpus=7), Need(cpus=0.5, gpus=1)])
def test_items_that_fill_all_cores_or_the_gpu_run_one_after_the_other(need):
    crowd = Crowd()
    Local(2).map(crowd, range(4), need=need)
    assert crowd.most == 1


def test_a_failure_names_the_item_keeps_its_cause_and_ends_the_map():
    done = []

    def work(x: int) -> None:
        if x == 1:
            raise ValueError("burnt")
        done.append(x)

    with pytest.raises(ItemError, match="item 1 of 50: burnt") as error:
        Local(1).map(work, list(range(50)))
    assert isinstance(error.value.__cause__, ValueError)
    assert len(done) < 50


def test_a_poison_item_is_quarantined_with_its_error_once_all_others_are_done():
    with pytest.raises(
        QuarantinedItems, match="2 of 4 items failed: item 0: .*; item 2: "
    ) as error:
        Local(2).map(lambda x: 6 // (x % 2), [0, 1, 2, 3], on_error="quarantine")
    assert error.value.results == [None, 6, None, 6]
    assert {at: type(e) for at, e in error.value.errors.items()} == {
        0: ZeroDivisionError,
        2: ZeroDivisionError,
    }


def test_progress_counts_every_item():
    seen = []
    Local(2).map(lambda x: x, "abc", lambda done, total, note="": seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_items_report_their_own_units_and_progress_tells_the_sum():
    def work(item, progress):
        for done in range(1, item + 1):
            progress(done, item, "crumbs")
        return item

    seen = []
    found = Local(2).map_reporting(work, [5, 7], lambda *report: seen.append(report))
    assert found == [5, 7]
    assert len(seen) == 12 and seen[-1] == (12, 12, "crumbs")


@pytest.mark.parametrize("items", [[0], [1, 0, 2]])
def test_a_long_item_that_fails_is_named_too(items):
    with pytest.raises(ItemError, match=f"item {items.index(0)} of {len(items)}: integer division"):
        Local(2).map_reporting(lambda item, progress: 1 // item, items)


class Oven:
    """A state that counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    @contextmanager
    def open(self):
        self.opened += 1
        yield self
        self.closed += 1

    def bake(self, item: int) -> int:
        time.sleep(0.001 * (item % 3))
        return 10 * item


@pytest.mark.parametrize("workers", [1, 3])
def test_a_stream_opens_a_state_a_lane_and_keeps_the_order(workers):
    oven = Oven()
    found = list(Local(workers).stream(oven.open, Oven.bake, range(20)))
    assert found == [10 * item for item in range(20)]
    assert 1 <= oven.opened <= workers
    assert oven.closed == oven.opened


def test_a_stream_takes_few_items_ahead_of_its_caller():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    stream = Local(2).stream(Oven().open, Oven.bake, items())
    assert next(stream) == 0
    stream.close()
    assert len(taken) <= 5


def test_a_stream_ends_at_the_item_that_fails():
    stream = Local(2).stream(Oven().open, lambda oven, item: 6 // item, [3, 2, 0, 1])
    assert [next(stream), next(stream)] == [2, 3]
    with pytest.raises(ItemError, match="item 2: "):
        next(stream)


def test_a_stages_own_error_does_not_lead_back_to_itself():
    def refuse(item):
        raise ValueError(f"{item} is bad")

    with pytest.raises(ValueError, match="bad") as caught, own_errors():
        Local(2).map(refuse, ["this"])
    seen, error = [], caught.value
    while error is not None:
        assert error not in seen
        seen.append(error)
        error = error.__cause__ or error.__context__
