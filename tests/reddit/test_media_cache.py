"""What is known of an image's address from one fetch to the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.reddit.rude_place import url
from zipp_dagster.reddit.media_cache import RULED


@pytest.mark.parametrize(
    ("path", "reason", "change"),
    [
        ("fat/a.png", "too_large", {"max_bytes": 400_000}),
        ("bomb/a.png", "too_many_pixels", {"max_pixels": 2_000_000}),
        ("loop/a.png", "too_many_redirects", {"redirects": 5}),
    ],
)
def test_a_refusal_is_known_only_under_the_limits_that_it_was_made_by(
    place, server, path, reason, change
):
    address = url(server, path)
    assert place().fetch([address])[address].reason == reason
    asked = server.requests["/" + path]
    assert place().fetch([address])[address].reason == reason
    assert server.requests["/" + path] == asked
    place(**change).fetch([address])
    assert server.requests["/" + path] > asked


def test_a_host_that_is_added_is_asked_also_by_way_of_a_redirect(place, server):
    direct = url(server, "good/a.png", "new.test")
    redirected = url(server, f"to/{direct}")
    before = place(but=("new.test",)).fetch([direct, redirected])
    assert [r.reason for r in before.values()] == ["host_not_allowed"] * 2
    assert all(result.facts for result in place().fetch([direct, redirected]).values())


def test_a_host_or_a_limit_that_is_taken_away_goes_before_the_cache_and_empties_it_not(
    place, server
):
    address = url(server, "good/red.png")
    kept = place().fetch([address])[address]
    refused = [
        ({"but": ("images.test",)}, "host_not_allowed"),
        ({"max_pixels": 100}, "too_many_pixels"),
        ({"max_bytes": 10}, "too_large"),
    ]
    for change, reason in refused:
        assert place(**change).fetch([address])[address].reason == reason
    assert place().fetch([address])[address] == kept
    assert server.requests.total() == 1


@pytest.mark.parametrize("reason", [*sorted(RULED), "private_address", "http_401", "http_403"])
def test_what_other_releases_kept_too_long_is_not_known(place, server, reason):
    address = url(server, "good/a.png")
    place.cache.fail(address, reason)
    assert place().fetch([address])[address].facts is not None


def test_what_was_fetched_before_a_kill_is_not_fetched_again(place, server):
    urls = [url(server, f"good/{n}.png") for n in range(4)]
    place().fetch(urls[:2])
    blob = next((place.cache.folder / "blobs").glob("*/*"))
    blob.with_name(f".{blob.name}.cafe").write_bytes(b"half a file of a killed process")
    fetcher = place()
    seen = []
    fetcher.fetch(urls, lambda done, total, note="": seen.append((done, total)))
    assert (fetcher.report.cached, fetcher.report.fetched) == (2, 2)
    assert max(server.requests.values()) == 1
    assert seen[-1] == (4, 4)


def test_a_cached_picture_whose_file_is_gone_is_fetched_again(place, server):
    address = url(server, "good/a.png")
    result = place().fetch([address])[address]
    (place.cache.folder / "blobs" / result.facts.sha256[:2] / result.facts.sha256).unlink()
    assert place().fetch([address])[address].facts == result.facts
    assert server.requests["/good/a.png"] == 2


def test_the_cache_drops_what_nothing_points_to_and_keeps_no_url(place, server):
    red, blue, bad = (url(server, p) for p in ("good/red.png", "good/blue.png", "missing/a.png"))
    results = place().fetch([red, blue, bad])
    assert place.cache.keep_only([red]) == 3
    assert place.cache.find(red) == results[red]
    assert place.cache.find(blue) is None and place.cache.find(bad) is None
    files = [path for path in (place.cache.folder / "blobs").glob("*/*") if path.is_file()]
    assert [path.name for path in files] == [results[red].facts.sha256]
    with closing(sqlite3.connect(place.cache.folder / "index.db")) as index:
        assert "images.test" not in str(index.execute("SELECT * FROM fetched").fetchall())
    raw = (place.cache.folder / "index.db").read_bytes()
    assert results[blue].facts.sha256.encode() not in raw
