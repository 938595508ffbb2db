from __future__ import annotations

import pyarrow as pa
import pytest

from zipp_dagster.zipbench.leaks import find_leaks


def posts(*rows: tuple[str, int, str, str | None]) -> pa.Table:
    """Posts (post_id, user_id, title, sha256)."""
    names = ("post_id", "user_id", "title", "sha256")
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    types = (pa.string(), pa.uint64(), pa.string(), pa.string())
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})


HELD = posts(("h1", 1, "a fox in the mist, watercolor", "sha1"), ("h2", 2, "a ship", None))


def test_a_clean_world_has_no_leak():
    visible = posts(("v1", 1, "a lighthouse, oil painting", "sha9"), ("v2", 3, "a ship", None))
    report = find_leaks(HELD, visible)
    assert report.clean and report.leaks.num_rows == 0
    assert report.counts == {"shared_id": 0, "shared_image": 0, "near_title": 0}


@pytest.mark.parametrize(
    ("leak", "kind"),
    [
        (("h1", 7, "something else", None), "shared_id"),
        (("v1", 7, "something else", "sha1"), "shared_image"),
        (("v1", 1, "Watercolor: a fox in mist", None), "near_title"),
    ],
)
def test_a_planted_leak_is_found_and_named(leak, kind):
    report = find_leaks(HELD, posts(leak, ("v2", 1, "a lighthouse", "sha9")))
    assert report.counts[kind] == 1 and sum(report.counts.values()) == 1
    row = report.leaks.to_pylist()[0]
    assert (row["holdout_post_id"], row["visible_post_id"]) == ("h1", leak[0])


def test_titles_count_from_the_threshold_on_and_within_one_user_only():
    held = posts(("h", 1, "a b c d e", None))
    near = posts(("v", 1, "a b c d x", None))  # F1 is 0.8 exactly
    assert find_leaks(held, near).counts["near_title"] == 1
    assert find_leaks(held, near, threshold=0.81).clean
    assert find_leaks(held, posts(("v", 2, "a b c d e", None))).clean


def test_a_method_that_copies_the_reference_is_caught():
    copied = posts(("prompt-1", 1, "a fox in the mist, watercolor", None))
    assert not find_leaks(HELD, copied).clean


def test_missing_hashes_and_empty_titles_match_nothing():
    held = posts(("h", 1, "", None))
    assert find_leaks(held, posts(("v", 1, "", None))).clean
    assert find_leaks(posts(), posts()).clean


@pytest.mark.timeout(60)  # comparing all titles with all would take hours
def test_ten_thousand_held_posts_are_compared_with_their_own_users_posts_only():
    held = posts(*((f"h{i}", i // 2, f"subject {i} style {i % 7}", f"s{i}") for i in range(10_000)))
    visible = posts(
        *((f"v{i}", i // 20, f"object {i} mood {i % 5}", f"t{i}") for i in range(100_000))
    )
    assert find_leaks(held, visible).clean
