"""Fetches images from the hosts that submissions link to: politely, safely, and once.

One `Fetcher` fetches many urls at a time. Each image is checked while it arrives: listed hosts and
public addresses only, size and pixels within limits, content sniffed. What is known of a url for
good, image or failure, is in the cache and never asked for again; today's settings go before the
cache. Knows no posts and no lake.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin, urlsplit

from zipp_dagster.progress import Progress, silent
from zipp_dagster.reddit.image_facts import (
    UnusableImageError,
    header_size,
    inspect_image,
    refuse_by_head,
)
from zipp_dagster.reddit.media_addresses import (
    AllowedHost,
    Guard,
    RefusedError,
    RefusedForNowError,
    Resolve,
    system_resolve,
)
from zipp_dagster.reddit.media_cache import MediaCache, Result, may_pass
from zipp_dagster.reddit.media_config import FetchSettings

REDIRECTS = (301, 302, 303, 307, 308)
GONE = {400, 404, 405, 406, 410, 414, 451}
BLOCKED = {401, 403}
"""What a server that blocks us may say of every image: not asked again in this run, but in another."""

HEADER_BYTES = 256 * 1024
"""A header that does not say the size within its first so many bytes is looked at no further."""

SNIFF_FROM = 64
"""Bytes from which the beginning of an answer says what it is."""

UNREACHABLE_AFTER = 20
"""Failed connections in a row after which a host is left alone for the rest of the run."""

# imgur answers a deleted image with this page's redirect, or with the placeholder itself.
_REMOVED_PATH = "/removed.png"
_REMOVED_SIZE = (161, 81)
_IMGUR = ("i.imgur.com", "imgur.com", "m.imgur.com")
_CHUNK = 64 * 1024
_ACCEPT = "image/jpeg,image/png,image/webp,image/bmp;q=0.9,image/*;q=0.5"


class Transient(Exception):
    """A try failed in a way that may pass; `wait_s` is what the server asked for.

    Without `repeat` it will not pass within this run.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, repeat: bool = True) -> None:
        super().__init__(reason)
        self.wait_s, self.repeat = wait_s, repeat


@dataclass
class _Host:
    """How one host is doing: places, until when it wants to be left alone, failures in a row."""

    places: asyncio.Semaphore
    resume_at: float = 0.0
    failures: int = 0


@dataclass
class FetchReport:
    """What a fetch did: `urls = cached + fetched + failed + unreachable`.

    `unreachable` failed for now and is asked for again by a later fetch; `failed` is for good.
    """

    urls: int = 0
    cached: int = 0
    fetched: int = 0
    failed: int = 0
    unreachable: int = 0
    requests: int = 0
    retries: int = 0
    received_bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Fetcher:
    """Fetches urls into a cache.

    Args:
        settings: hosts, politeness, time limits.
        cache: where images and failures are kept.
        max_bytes, max_pixels: limits of one image.
        hosts: instead of the hosts of the settings; only tests pass hosts on this machine.
        resolve: instead of the system's resolver; only tests pass one.
    """

    def __init__(
        self,
        settings: FetchSettings,
        cache: MediaCache,
        *,
        max_bytes: int,
        max_pixels: int,
        hosts: Iterable[AllowedHost] | None = None,
        resolve: Resolve = system_resolve,
        seed: int | None = None,
    ) -> None:
        self._settings, self._cache = settings, cache
        self._max_bytes, self._max_pixels = max_bytes, max_pixels
        chosen = list(hosts if hosts is not None else map(AllowedHost, settings.hosts))
        self._guard = Guard(chosen, resolve)
        places = sha256(repr(sorted(map(repr, chosen))).encode()).hexdigest()[:16]
        self._rules = {
            "host_not_allowed": places,
            "not_https": places,
            "too_large": str(max_bytes),
            "too_many_pixels": str(max_pixels),
            "too_many_redirects": str(settings.redirects),
        }
        self._jitter = random.Random(seed)
        self._hosts: dict[str, _Host] = defaultdict(
            lambda: _Host(asyncio.Semaphore(settings.per_host))
        )
        self._session: Any = None
        self.report = FetchReport()

    def fetch(self, urls: Sequence[str], progress: Progress = silent) -> dict[str, Result]:
        """What became of every url; those known to the cache are not asked for again."""
        distinct = list(dict.fromkeys(urls))
        results = {url: known for url in distinct if (known := self._known(url)) is not None}
        self.report.urls += len(distinct)
        self.report.cached += len(results)
        todo = [url for url in distinct if url not in results]
        if todo:
            work = self._fetch_all(todo, progress, len(results), len(distinct))
            try:
                results |= asyncio.run(work)
            except ExceptionGroup as group:  # such as a full disk: the first says it all
                raise group.exceptions[0] from group
        return results

    def _known(self, url: str) -> Result | None:
        """What the cache knows of a url, as far as today's settings allow it."""
        try:
            self._guard.host_of(url)
        except RefusedError:
            return None
        known = self._cache.find(url, self._rules)
        if known is None or known.facts is None:
            return known
        if known.facts.width * known.facts.height > self._max_pixels:
            return Result(reason="too_many_pixels")
        if self._cache.size(known.facts) > self._max_bytes:
            return Result(reason="too_large")
        return known

    async def _fetch_all(
        self, urls: Sequence[str], progress: Progress, done: int, total: int
    ) -> dict[str, Result]:
        import aiohttp

        settings = self._settings
        limits = aiohttp.ClientTimeout(
            total=settings.total_s, sock_connect=settings.connect_s, sock_read=settings.read_s
        )
        results: dict[str, Result] = {}
        queue = iter(urls)

        async def worker() -> None:
            nonlocal done
            for url in queue:  # one iterator shared by all workers: bounded memory
                results[url] = await self._one(url)
                done += 1
                progress(done, total, "images fetched")

        async with (
            aiohttp.ClientSession(
                connector=self._guard.connector(settings.per_host, settings.concurrency),
                timeout=limits,
                headers={
                    "User-Agent": settings.user_agent,
                    "Accept": _ACCEPT,
                    "Accept-Encoding": "identity",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            ) as self._session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(min(settings.concurrency, len(urls))):
                group.create_task(worker())
        return results

    async def _one(self, url: str) -> Result:
        """One url with its retries; the outcome is counted."""
        try:
            name = self._guard.host_of(url).name.lower()
        except RefusedError as error:  # costs nothing to find out: not kept
            result = Result(reason=str(error))
        else:
            result = await self._asked(url, name)
        if result.facts is not None:
            self.report.fetched += 1
        else:
            self.report.failed += result.permanent
            self.report.unreachable += not result.permanent
            reasons = self.report.reasons
            reasons[result.reason] = reasons.get(result.reason, 0) + 1
        return result

    async def _asked(self, url: str, name: str) -> Result:
        """The outcome of a url of a listed host; it goes into the cache if it is for good."""
        try:
            return await self._with_retries(url, name)
        except (RefusedError, UnusableImageError) as error:
            reason = str(error)
            if not may_pass(reason):
                self._cache.fail(url, reason, self._rules.get(reason, ""))
            return Result(reason=reason)

    async def _with_retries(self, url: str, name: str) -> Result:
        settings = self._settings
        host = self._hosts[name]
        for attempt in range(settings.attempts):
            if host.failures >= UNREACHABLE_AFTER:
                return Result(reason="host_unreachable", permanent=False)
            try:
                async with host.places:
                    await self._until(host.resume_at)
                    data = await self._try(url)
                host.failures = 0
                facts = await asyncio.to_thread(inspect_image, data, self._max_pixels)
                if name in _IMGUR and (facts.width, facts.height) == _REMOVED_SIZE:
                    raise UnusableImageError("removed")
                self._cache.keep(url, facts, data)
                return Result(facts)
            except Transient as error:
                reason, wait = str(error), error.wait_s
                nowhere = reason in ("no_connection", "private_address")
                host.failures = host.failures + 1 if nowhere else 0
                if not error.repeat:
                    break
                if wait is not None:
                    if wait > settings.longest_wait_s:
                        return Result(reason=reason, permanent=False)
                    host.resume_at = max(host.resume_at, asyncio.get_running_loop().time() + wait)
                if attempt + 1 < settings.attempts:
                    self.report.retries += 1
                    pause = settings.backoff_s * 2**attempt * (0.5 + self._jitter.random())
                    await asyncio.sleep(min(pause, settings.longest_wait_s))
        return Result(reason=reason, permanent=False)

    async def _until(self, moment: float) -> None:
        left = moment - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    async def _try(self, url: str) -> bytes:
        """One try: follows redirects that stay within the rules, and reads the image.

        Raises:
            RefusedError, UnusableImageError: for good.
            Transient: may pass.
        """
        import aiohttp

        try:
            async with asyncio.timeout(self._settings.total_s):
                return await self._follow(url)
        except TimeoutError:
            raise Transient("timeout") from None
        except RefusedForNowError as error:
            raise Transient(str(error)) from None
        except aiohttp.InvalidURL:
            raise RefusedError("bad_url") from None
        except aiohttp.ClientPayloadError:
            raise Transient("cut_off") from None
        except (aiohttp.ClientConnectionError, OSError):
            raise Transient("no_connection") from None
        except aiohttp.ClientError:
            raise Transient("bad_answer") from None

    async def _follow(self, url: str) -> bytes:
        for _ in range(self._settings.redirects + 1):
            host = self._guard.host_of(url)
            await self._guard.addresses(host.name.lower())  # refused before anything is sent
            self.report.requests += 1
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    return await self._read(response)
                target = response.headers.get("Location")
            if not target:
                raise UnusableImageError("bad_redirect")
            url = urljoin(url, target)
            if urlsplit(url).path == _REMOVED_PATH:
                raise UnusableImageError("removed")
        raise UnusableImageError("too_many_redirects")

    async def _read(self, response: Any) -> bytes:
        """The body of an answer, within the limits of bytes and pixels while it arrives."""
        status = response.status
        if status in (408, 425, 429) or status >= 500:
            raise Transient(f"http_{status}", _retry_after(response.headers.get("Retry-After")))
        if status in BLOCKED:
            raise Transient(f"http_{status}", repeat=False)
        if status != 200:
            raise UnusableImageError(f"http_{status}" if status in GONE else "http_other")
        length = response.content_length
        if length is not None and length > self._max_bytes:
            raise UnusableImageError("too_large")
        inflate = _decoder(response.headers.get("Content-Encoding", ""), self._max_bytes)
        body, looked = bytearray(), 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            self.report.received_bytes += len(chunk)
            body += inflate(chunk)
            if len(body) > self._max_bytes:
                raise UnusableImageError("too_large")
            if looked < HEADER_BYTES and len(body) >= max(SNIFF_FROM, 2 * looked):
                looked = len(body)
                self._look(bytes(body))
        if not body:
            raise Transient("empty_answer")
        return bytes(body)

    def _look(self, head: bytes) -> None:
        """Stops early what is no image, or claims too many pixels."""
        refuse_by_head(head)
        size = header_size(head)
        if size is not None and size[0] * size[1] > self._max_pixels:
            raise UnusableImageError("too_many_pixels")


def _decoder(encoding: str, max_bytes: int) -> Any:
    """A function that undoes a content coding that we did not ask for, never far beyond the limit."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda chunk: chunk
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnusableImageError("unknown_encoding")
    state = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def inflate(chunk: bytes) -> bytes:
        try:
            return state.decompress(chunk, max_bytes + 1)
        except zlib.error:
            raise Transient("cut_off") from None

    return inflate


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is neither."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
