"""The images of a month of posts, fetched."""

from __future__ import annotations

import shutil

import pytest

from tests.reddit.rude_place import fetched, url
from tests.reddit.rude_server import picture
from zipp_dagster.reddit.media import (
    MediaError,
    NothingNewError,
    cached_addresses,
)
from zipp_dagster.reddit.media_fetch import UNREACHABLE_AFTER


def test_a_resolver_that_answers_with_a_sink_stops_the_host_and_the_month(
    place, server, submissions, tmp_path, as_they_are
):
    urls = [url(server, f"good/{n}.png", "sink.test") for n in range(UNREACHABLE_AFTER + 5)]
    fetcher = place(concurrency=1, attempts=1)
    reasons = [result.reason for result in fetcher.fetch(urls).values()]
    assert reasons == ["private_address"] * UNREACHABLE_AFTER + ["host_unreachable"] * 5
    files = submissions(*((f"s{n}", address, False) for n, address in enumerate(urls)))
    with pytest.raises(MediaError, match=r"25 of 25 images .*run again"):
        fetched(place, files, tmp_path / "a")


def test_a_month_is_fetched_into_the_tables_with_duplicates_and_failures(
    place, server, submissions, tmp_path, as_they_are
):
    files = submissions(
        ("s1", url(server, "good/red.png"), False),
        ("s2", url(server, "good/blue.png"), True),
        ("s3", url(server, "good/also-red.png"), False),
        ("s4", url(server, "page/a.png"), False),
    )
    report, rows, failures = fetched(place, files, tmp_path / "a")
    assert [(r["post_id"], r["duplicate_of"]) for r in rows] == [("s1", None), ("s3", "s1")]
    assert rows[0]["image"] == picture()
    assert [(f["post_id"], f["reason"]) for f in failures] == [
        ("s2", "over_18"),
        ("s4", "web_page"),
    ]
    assert (report.posts, report.collected, report.distinct_images) == (4, 2, 1)
    assert server.requests["/good/blue.png"] == 0
    _, rows, _ = fetched(place, files, tmp_path / "b", over_18=True)
    assert [row["post_id"] for row in rows] == ["s1", "s2", "s3"]
    assert len(list(cached_addresses(files))) == 4


def test_a_month_with_too_many_passing_failures_is_not_published(
    place, server, submissions, tmp_path, as_they_are
):
    good = [(f"s{n}", url(server, f"good/{n}.png"), False) for n in range(3)]
    files = submissions(*good, ("t", url(server, "broken/a.png"), False))
    with pytest.raises(MediaError, match=r"1 of 4 images .* \(1 http_503\).*run again"):
        fetched(place, files, tmp_path / "a")
    assert place.cache.find(good[0][1]) is not None
    report, _, failures = fetched(place, files, tmp_path / "b", most_unreachable=0.5)
    assert (report.collected, failures[0]["reason"]) == (3, "http_503")


def test_of_a_published_month_only_what_may_have_passed_is_asked_for_first(
    place, server, submissions, tmp_path, as_they_are
):
    good = [(f"s{n}", url(server, f"good/{n}.png"), False) for n in range(2)]
    late = [("t", url(server, "recovers/a.png"), False), ("u", url(server, "broken/a.png"), False)]
    files = submissions(*good, *late, ("v", url(server, "page/a.png"), False))
    fetched(place, files, tmp_path / "a", most_unreachable=0.5)
    shutil.rmtree(place.cache.folder / "blobs")  # so that all would be asked for again
    before = tmp_path / "a" / "failures.parquet"
    asked = server.requests.copy()
    with pytest.raises(NothingNewError, match="2 images that failed for now failed again"):
        fetched(place, files, tmp_path / "b", failed_before=before)
    assert set(server.requests - asked) == {"/recovers/a.png", "/broken/a.png"}
    server.recovered.set()
    asked = server.requests.copy()
    _, rows, failures = fetched(
        place, files, tmp_path / "c", failed_before=before, most_unreachable=0.5
    )
    assert [row["post_id"] for row in rows] == ["s0", "s1", "t"]
    assert [row["reason"] for row in failures] == ["http_503", "web_page"]
    assert (server.requests - asked)["/broken/a.png"] == 3, "asked for once, with its retries"
