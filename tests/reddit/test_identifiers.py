from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zipp_dagster.reddit.identifiers import DistinctIds, SeenIds, base36_value, id_number

numbers = st.lists(st.integers(0, 2**17) | st.integers(0, 2**64 - 1), max_size=50)


def test_ids_count_in_base_36_as_reddit_does():
    assert [id_number(text) for text in ("a", "10", "zz")] == [10, 36, 36 * 35 + 35]


@settings(deadline=None)
@given(text=st.text("0123456789abcdefxyzAZ_é", min_size=1, max_size=14))
def test_ids_within_a_block_count_as_single_ones_do(text):
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    counted = base36_value(data, 0, len(data))
    number = id_number(text)
    assert counted == (number if number < 2**63 else -1)


@given(batches=st.lists(numbers, max_size=6))
def test_seen_ids_agree_with_a_plain_set(batches):
    seen, plain = SeenIds(), set()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number in plain)
            plain.add(number)
        assert seen.add(np.array(batch, dtype=np.uint64)).tolist() == expected


def test_dense_ids_become_bitmaps_and_stay_right():
    seen = SeenIds()
    first = np.arange(0, 200_000, 2, dtype=np.uint64)
    assert not seen.add(first).any()
    assert seen.add(np.arange(0, 200_000, dtype=np.uint64)).tolist() == [True, False] * 100_000
    assert (sorted(seen._bitmaps), sorted(seen._sparse)) == ([0, 1, 2], [3])


def test_distinct_ids_are_counted_across_merges():
    distinct = DistinctIds(merge_at=10)
    for start in range(0, 100, 7):
        distinct.add(np.arange(start, start + 20, dtype=np.uint64))
    assert len(distinct) == 98 + 20
