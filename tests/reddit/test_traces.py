from __future__ import annotations

import pytest

from zipp_dagster.reddit.erasure import Tombstones
from zipp_dagster.reddit.traces import (
    ERASED_PAGE,
    find_rows,
    mask_mentions,
    mentions_any,
    page_of,
    rejected_may_hold,
)


@pytest.fixture
def folder(tmp_path, write, ingest, comment):
    """Alice wrote c1 and c2; bob answered c1, wrote on alice's page, and commented elsewhere."""
    lines = [
        comment(),
        comment(id="c2", link_id="t3_s2", parent_id="t3_s2"),
        comment(id="c3", author="bob", parent_id="t1_c1"),
        comment(id="c4", author="bob", subreddit="u_Alice", parent_id="t3_s9", link_id="t3_s9"),
        comment(id="c5", author="bob", parent_id="t3_s3", link_id="t3_s3"),
        b'{"id": "c6", "author": "carol", ',
    ]
    ingest(write(lines))
    return tmp_path / "out" / "RC_2023-11.zst"


def rows(folder):
    import pyarrow.parquet as pq

    return pq.read_table(sorted(folder.glob("part-*"))).to_pylist()


def test_a_person_and_an_item_are_found_by_pseudonym_and_id(folder, pseudonymizer):
    alice, files = pseudonymizer.user("alice"), sorted(folder.glob("part-*"))
    found = find_rows(files, "comments", frozenset({alice}), frozenset({"t1_c5", "t3_c4"}))
    assert (found.count, found.names) == (3, {"t1_c1", "t1_c2", "t1_c5"})
    assert found.users == {alice}
    assert find_rows(files, "comments", frozenset({7}), frozenset({"t3_c5"})).count == 0


def test_answers_to_an_item_and_posts_on_a_page_are_mentions(folder, pseudonymizer):
    alice, files = pseudonymizer.user("alice"), sorted(folder.glob("part-*"))
    nobody: frozenset[int] = frozenset()
    assert mentions_any(files, "comments", nobody, {"t1_c1"})
    assert mentions_any(files, "comments", nobody, {"t3_s2"})
    assert mentions_any(files, "comments", frozenset({alice}), set())
    assert not mentions_any(files, "comments", frozenset({7}), {"t1_c2", "t3_c1"})


def test_a_rejected_line_may_be_anybodys(folder):
    rejected, nobody = [folder / "rejected.parquet"], frozenset()
    assert rejected_may_hold(rejected, "comments", frozenset({7}), set())
    assert rejected_may_hold(rejected, "comments", nobody, {"t1_c6"})
    assert not rejected_may_hold(rejected, "comments", nobody, {"t3_c6", "t1_c1"})


def test_mentions_are_masked_and_everything_else_stays(folder, pseudonymizer):
    alice = pseudonymizer.user("alice")
    before = rows(folder)
    items = frozenset(pseudonymizer.item(name) for name in ("t1_c1", "t3_s3"))
    assert (
        mask_mentions(folder, "comments", Tombstones(frozenset({alice}), items), pseudonymizer) == 3
    )
    after = rows(folder)
    assert [row["parent_id"] for row in after] == ["t3_s1", "t3_s2", None, "t3_s9", None]
    assert [row["link_id"] for row in after] == ["t3_s1", "t3_s2", "t3_s1", "t3_s9", None]
    assert after[3]["subreddit"] == ERASED_PAGE and before[3]["subreddit"] == page_of(alice)
    for old, new in zip(before, after, strict=True):
        for column in set(old) - {"parent_id", "link_id", "subreddit"}:
            assert old[column] == new[column]


def test_without_a_mention_no_file_is_written_anew(folder, pseudonymizer):
    path = next(folder.glob("part-*"))
    inode = path.stat().st_ino
    stones = Tombstones(frozenset({7}), frozenset({8}))
    assert mask_mentions(folder, "comments", stones, pseudonymizer) == 0
    assert path.stat().st_ino == inode
