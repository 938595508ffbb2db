from __future__ import annotations

from hashlib import sha256

import pytest

from tests.reddit.rude_place import QUICK, one, url
from tests.reddit.rude_server import picture
from zipp_dagster.reddit.image_facts import inspect_image
from zipp_dagster.reddit.images import image_address
from zipp_dagster.reddit.media_addresses import AllowedHost, Guard, RefusedError, is_public
from zipp_dagster.reddit.media_cache import MediaCache, Result, may_pass
from zipp_dagster.reddit.media_config import HOSTS, FetchSettings
from zipp_dagster.reddit.media_fetch import UNREACHABLE_AFTER, Fetcher


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


def test_the_server_learns_who_asks_and_that_no_coding_is_wanted(place, server):
    server.headers_seen.clear()
    one(place, server, "good/a.png", user_agent="tests of zipp-dagster")
    (headers,) = server.headers_seen
    assert headers["User-Agent"] == "tests of zipp-dagster"
    assert headers["Accept-Encoding"] == "identity" and "Cookie" not in headers


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
