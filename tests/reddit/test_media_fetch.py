from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reddit.rude_server import RudeServer, picture
from zipp_dagster.reddit.image_facts import inspect_image
from zipp_dagster.reddit.images import image_address
from zipp_dagster.reddit.media import (
    MediaError,
    NothingNewError,
    cached_addresses,
    fetch_media,
)
from zipp_dagster.reddit.media_addresses import AllowedHost, Guard, RefusedError, is_public
from zipp_dagster.reddit.media_cache import RULED, MediaCache, Result, may_pass
from zipp_dagster.reddit.media_config import HOSTS, FetchSettings
from zipp_dagster.reddit.media_fetch import UNREACHABLE_AFTER, Fetcher

QUICK = {
    "attempts": 3,
    "backoff_s": 0.01,
    "longest_wait_s": 5,
    "read_s": 20,
    "connect_s": 20,
    "total_s": 60,
}
ADDRESSES = {
    "images.test": ["127.0.0.1"],
    "new.test": ["127.0.0.1"],
    "plain.test": ["127.0.0.1"],  # listed like a host of the settings: no loopback
    "cloud.test": ["169.254.169.254"],
    "both.test": ["93.184.216.34", "10.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "sink.test": ["0.0.0.0"],
    "127.0.0.1": ["127.0.0.1"],  # an address in the url itself
}
LIMITS = {"max_bytes": 200_000, "max_pixels": 1_000_000}


@pytest.fixture(scope="module")
def server():
    server = RudeServer()
    yield server
    server.stop()


@pytest.fixture
def place(server, tmp_path):
    """`place(**settings)` makes a fetcher that may ask the rude server, under `images.test`."""

    async def resolve(name: str) -> list[str]:
        if name not in ADDRESSES:
            raise socket.gaierror(f"{name} is not known")
        return ADDRESSES[name]

    server.requests.clear()
    server.moments.clear()
    server.most_in_work = 0
    port = server.port
    hosts = [AllowedHost("images.test", "http", port, loopback=True)]
    hosts += [
        AllowedHost(n, "http", port) for n in ADDRESSES if n not in ("images.test", "new.test")
    ]
    hosts += [AllowedHost("unknown.test", "http", port)]
    hosts += [AllowedHost("new.test", "http", port, loopback=True)]
    with MediaCache(tmp_path / "cache") as cache:

        def make(*, but: tuple[str, ...] = (), **changes: object) -> Fetcher:
            """Changes of limits and settings; `but` names hosts that are not listed."""
            limits = {name: changes.pop(name, limit) for name, limit in LIMITS.items()}
            settings = FetchSettings.model_validate(QUICK | changes)
            listed = [host for host in hosts if host.name not in but]
            return Fetcher(settings, cache, hosts=listed, resolve=resolve, seed=1, **limits)

        make.cache = cache
        yield make


def url(server: RudeServer, path: str, host: str = "images.test") -> str:
    return f"http://{host}:{server.port}/{path}"


def one(place, server, path: str, **settings):
    address = url(server, path)
    return place(**settings).fetch([address])[address]


@pytest.mark.parametrize("path", ["good/red.png", "jpeg/misnamed.png", "zipped/a.png"])
def test_a_picture_is_fetched_whatever_it_is_called_and_kept_by_its_content(place, server, path):
    result = one(place, server, path)
    data = picture(format="JPEG" if "jpeg" in path else "PNG")
    assert result.facts == inspect_image(data, 10**6)
    assert place.cache.read(result.facts) == data
    assert result.facts.sha256 == sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("path", "reason", "requests"),
    [
        ("missing/a.png", "http_404", 1),
        ("gone/a.png", "removed", 1),
        ("nowhere/a.png", "bad_redirect", 1),
        ("loop/a.png", "too_many_redirects", 5),
        ("fat/a.png", "too_large", 1),
        ("fatter/a.png", "too_large", 1),
        ("page/a.png", "web_page", 1),
        ("bomb/a.png", "too_many_pixels", 1),
        ("half/a.jpg", "damaged_image", 1),
        ("moving/a.png", "moving_image", 1),
        ("zipbomb/a.png", "too_large", 1),
        ("brotli/a.png", "unknown_encoding", 1),
        ("noise/a.jpg", "not_an_image", 1),
        ("to/http://elsewhere.test/a.png", "host_not_allowed", 1),
        ("to/https://images.test/a.png", "not_https", 1),
        ("to/http://images.test:22/a.png", "host_not_allowed", 1),
        ("to/file:///etc/passwd", "bad_url", 1),
    ],
)
def test_what_is_no_image_fails_for_good_with_its_reason(place, server, path, reason, requests):
    fetcher = place()
    address = url(server, path)
    result = fetcher.fetch([address])[address]
    assert (result.facts, result.reason, result.permanent) == (None, reason, True)
    assert server.requests.total() == requests
    again = place().fetch([address])[address]
    assert (again.reason, server.requests.total()) == (reason, requests), "known for good"
    assert fetcher.report.reasons == {reason: 1}


@pytest.mark.parametrize(
    ("path", "reason", "requests"),
    [
        ("broken/a.png", "http_503", 3),
        ("drip/a.png", "timeout", 2),
        ("silent/a.png", "timeout", 2),
        ("cut/a.png", "cut_off", 3),
        ("reset/a.png", "no_connection", 3),
        ("empty/a.png", "empty_answer", 3),
        ("garbage/a.png", "bad_answer", 3),
        ("tomorrow/a.png", "http_429", 1),
        ("forbidden/a.png", "http_403", 1),
    ],
)
def test_what_may_pass_is_tried_again_and_not_remembered(place, server, path, reason, requests):
    impatient = {"total_s": 0.5, "attempts": 2} if reason == "timeout" else {}
    fetcher = place(**impatient)
    address = url(server, path)
    result = fetcher.fetch([address])[address]
    assert (result.facts, result.reason, result.permanent) == (None, reason, False)
    assert server.requests["/" + path] >= requests
    assert fetcher.report.unreachable == 1
    assert may_pass(reason) and place.cache.find(address) is None


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


def test_a_name_that_leads_nowhere_public_is_asked_for_again_and_an_address_in_the_url_is_not(
    place, server
):
    sunk, literal = (url(server, "good/a.png", host) for host in ("sink.test", "127.0.0.1"))
    fetcher = place()
    results = fetcher.fetch([sunk, literal])
    assert results[sunk] == Result(reason="private_address", permanent=False)
    assert results[literal] == Result(reason="private_address", permanent=True)
    assert (fetcher.report.unreachable, fetcher.report.failed) == (1, 1)
    assert place.cache.find(sunk) is None and place.cache.find(literal) is None


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


def test_an_error_that_passes_costs_only_retries(place, server):
    fetcher = place()
    address = url(server, "flaky/a.png")
    assert fetcher.fetch([address])[address].facts is not None
    assert (fetcher.report.retries, server.requests["/flaky/a.png"]) == (2, 3)


def test_retry_after_holds_the_whole_host_back(place, server):
    fetcher = place(concurrency=1)
    busy, other = url(server, "busy/a.png"), url(server, "good/a.png")
    results = fetcher.fetch([busy, other])
    assert all(result.facts for result in results.values())
    moments = [moment for path, moment in server.moments]
    assert [path for path, _ in server.moments] == ["/busy/a.png", "/busy/a.png", "/good/a.png"]
    assert moments[1] - moments[0] >= 0.95, "the server asked for one second"


@pytest.mark.parametrize("host", ["plain.test", "cloud.test", "both.test", "mapped.test"])
def test_a_name_that_leads_into_the_network_is_refused_also_after_a_redirect(place, server, host):
    direct, redirected = (
        url(server, "good/a.png", host),
        url(server, f"to/http://{host}:{server.port}/x"),
    )
    results = place().fetch([direct, redirected])
    assert [r.reason for r in results.values()] == ["private_address"] * 2
    assert server.requests["/good/a.png"] == server.requests["/x"] == 0


def test_the_connection_goes_to_the_address_that_was_checked(server, tmp_path):
    answers = iter([["127.0.0.1"]])  # a second question would end in StopIteration

    async def resolve(name: str) -> list[str]:
        return next(answers)

    hosts = [AllowedHost("images.test", "http", server.port, loopback=True)]
    with MediaCache(tmp_path / "cache") as cache:
        settings = FetchSettings.model_validate(QUICK)
        fetcher = Fetcher(
            settings, cache, max_bytes=10**6, max_pixels=10**6, hosts=hosts, resolve=resolve
        )
        urls = [url(server, f"good/{n}.png") for n in range(3)]
        assert all(result.facts for result in fetcher.fetch(urls).values())


def test_the_hosts_of_the_settings_are_https_and_public(tmp_path):
    guard = Guard(map(AllowedHost, HOSTS))
    assert guard.host_of("https://i.redd.it/a.png").name == "i.redd.it"
    refused = {
        "http://i.redd.it/a.png": "not_https",
        "https://i.redd.it:8443/a.png": "host_not_allowed",
        "https://127.0.0.1/a.png": "host_not_allowed",
        "https://[::1]/a.png": "host_not_allowed",
        "https://i.redd.it.evil.test/a.png": "host_not_allowed",
        "https://me:pw@i.redd.it/a.png": "bad_url",
        "https://i.redd.it@evil.test/a.png": "host_not_allowed",
        "ftp://i.redd.it/a.png": "not_https",
        "https://[/a.png": "bad_url",
        "": "bad_url",
    }
    for address, reason in refused.items():
        with pytest.raises(RefusedError, match=reason):
            guard.host_of(address)
    assert "loopback" not in FetchSettings.model_fields and "port" not in FetchSettings.model_fields


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
    ]
    + ["100.64.0.1", "192.0.2.1", "255.255.255.255", "240.0.0.1", "198.18.0.1"]
    + ["::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "no address"]
    + ["::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::"],
)
def test_addresses_that_are_not_public_are_not_asked(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["151.101.1.140", "2a04:4e42::396", "::ffff:151.101.1.140"])
def test_public_addresses_are_asked(address):
    assert is_public(address)


def test_a_host_that_does_not_answer_is_left_alone_after_some_failures(place, server):
    fetcher = place(concurrency=1, attempts=1)
    urls = [url(server, f"good/{n}.png", "unknown.test") for n in range(UNREACHABLE_AFTER + 5)]
    reasons = [result.reason for result in fetcher.fetch(urls).values()]
    assert reasons == ["no_connection"] * UNREACHABLE_AFTER + ["host_unreachable"] * 5


def test_a_server_that_sends_nothing_is_given_up_before_the_time_for_a_try_is_over(place, server):
    assert one(place, server, "silent/a.png", read_s=0.2, attempts=1).reason == "timeout"


def test_no_more_than_the_allowed_number_is_in_flight(place, server):
    fetcher = place(concurrency=16, per_host=2)
    urls = [url(server, f"slowish/{n}.png") for n in range(12)]
    assert all(result.facts for result in fetcher.fetch(urls).values())
    assert 1 < server.most_in_work <= 2


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


def test_the_server_learns_who_asks_and_that_no_coding_is_wanted(place, server):
    server.headers_seen.clear()
    one(place, server, "good/a.png", user_agent="tests of zipp-dagster")
    (headers,) = server.headers_seen
    assert headers["User-Agent"] == "tests of zipp-dagster"
    assert headers["Accept-Encoding"] == "identity" and "Cookie" not in headers


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


@pytest.fixture
def submissions(tmp_path):
    def write(*rows: tuple[str, str, bool]):
        path = tmp_path / "part-00000.parquet"
        table = [
            {
                "id": post,
                "media_key": address.rsplit("/", 1)[-1],
                "is_image": True,
                "is_bot": False,
                "url": address,
                "over_18": adult,
            }
            for post, address, adult in rows
        ]
        pq.write_table(pa.Table.from_pylist(table), path)
        return [path]

    return write


def fetched(place, files, folder, **options):
    folder.mkdir()
    report = fetch_media(files, place(), place.cache, folder, **options)
    rows = pq.read_table(folder / "part-00000.parquet").to_pylist()
    return report, rows, pq.read_table(folder / "failures.parquet").to_pylist()


@pytest.fixture
def as_they_are(monkeypatch):
    """The rude server speaks http: addresses are taken as the posts have them."""
    monkeypatch.setattr("zipp_dagster.reddit.media.image_address", lambda url, key: url)


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


@pytest.mark.parametrize(
    ("link", "key", "address"),
    [
        ("http://i.imgur.com/abc.png?1#x", "abc.png", "https://i.imgur.com/abc.png?1"),
        ("https://imgur.com/abcde", "abcde.jpg", "https://i.imgur.com/abcde.jpg"),
        ("https://i.redd.it/a.jpg", "a.jpg", "https://i.redd.it/a.jpg"),
        ("https://[/a.jpg", "a.jpg", "https://[/a.jpg"),
        ("ftp://x/a.jpg", "a.jpg", "ftp://x/a.jpg"),
    ],
)
def test_links_become_addresses_of_files_over_https(link, key, address):
    assert image_address(link, key) == address
