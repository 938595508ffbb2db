"""S3-compatible object storage through obstore: objects by key, one conditional write, clear errors.

Knows keys and bytes, no versions: those are in `object_lake`. The credentials, the region and the
endpoint are those that AWS's own tools read from the environment (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zipp_dagster.platform.versions import LakeError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CHUNK_BYTES = 8 * 2**20
CHUNKS_AT_ONCE = 4
"""Of each file: with four files at once some 128 MiB of memory."""
PARTS = 9_000
"""S3 takes an object in at most 10,000 parts."""

CLIENT: ClientConfig = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "1h"}
"""The limit of a whole request is long because it includes a large object's body."""

PROBE = ".probe-"
CLOCK = ".clock"
MISSING_BUCKET = "NoSuchBucket"
CLOCK_APART = ("RequestTimeTooSkewed", "RequestExpired")


class StoreError(LakeError):
    """The object store refused, or did not answer; the message says what to do."""


class StoreUnreachable(StoreError):
    """The object store did not answer, or only with server errors: worth another try later."""


class Conflict(LakeError):
    """A conditional write found another object than the one that it was to replace."""


@dataclass(frozen=True)
class Retries:
    """How a request is tried again after a 5xx answer or a broken connection, with back-off."""

    count: int = 10
    seconds: float = 180.0
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 15.0

    def config(self) -> RetryConfig:
        """The values in the words of obstore's RetryConfig."""
        return {
            "max_retries": self.count,
            "retry_timeout": timedelta(seconds=self.seconds),
            "backoff": {
                "init_backoff": timedelta(seconds=self.first_pause_seconds),
                "max_backoff": timedelta(seconds=self.longest_pause_seconds),
                "base": 2,
            },
        }


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it; `modified` is by the store's clock."""

    size: int
    modified: datetime


@dataclass(frozen=True)
class Tagged:
    """A small object's content, and the entity tag by which it can be replaced."""

    content: bytes
    tag: str


class ObjectStore:
    """The objects below one URL, such as `s3://bucket/prefix`; keys are relative to it.

    Raises StoreUnreachable once the tries are used up, StoreError for what another try cannot help.
    """

    def __init__(self, url: str, retries: Retries | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise LakeError(f"lake.url={url!r} is no address of a bucket: write s3://bucket/prefix")
        self.url = url.rstrip("/")
        self.retries = retries or Retries()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "retries": self.retries}

    @cached_property
    def _store(self) -> Any:
        try:
            from obstore.store import S3Store
        except ModuleNotFoundError as error:
            raise LakeError(
                f"a lake at {self.url} needs obstore: pip install 'zipp_dagster[s3]'"
            ) from error
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        options: ClientConfig = {**CLIENT, "allow_http": endpoint.startswith("http://")}
        with self._asking("opening"):
            return S3Store.from_url(
                self.url, client_options=options, retry_config=self.retries.config()
            )

    def read(self, key: str) -> Tagged | None:
        """A small object; None where there is none."""
        import obstore

        try:
            with self._asking(key):
                found = obstore.get(self._store, key)
                return Tagged(bytes(found.bytes()), found.meta["e_tag"] or "")
        except FileNotFoundError:
            return None

    def chunks(self, key: str) -> Iterator[bytes]:
        """A large object in pieces; StoreError where there is none."""
        import obstore

        try:
            with self._asking(key):
                yield from obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.url}/{key} is not there: was it pruned, or deleted?"
            ) from error

    def download(self, key: str, path: Path) -> str:
        """Writes an object to a file; returns its SHA-256 in hex."""
        digest = hashlib.sha256()
        with path.open("wb") as stream:
            for chunk in self.chunks(key):
                digest.update(chunk)
                stream.write(chunk)
        return digest.hexdigest()

    def write(self, key: str, content: bytes | Path) -> None:
        """Puts an object, in place of one that may be there."""
        import obstore

        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with self._asking(key):
            obstore.put(
                self._store,
                key,
                content,
                chunk_size=max(CHUNK_BYTES, size // PARTS + 1),
                max_concurrency=CHUNKS_AT_ONCE,
            )

    def swap(self, key: str, content: bytes, tag: str | None) -> None:
        """Replaces the object that has the tag, or makes the first one where it is None.

        The content must be unlike any other writer's. An answer may get lost, and the try after it
        then finds its own object in the way: that counts as written.

        Raises:
            Conflict: another object is there.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._asking(key):
                obstore.put(self._store, key, content, mode={"e_tag": tag} if tag else "create")
        except (AlreadyExistsError, PreconditionError, FileNotFoundError, StoreError) as error:
            found = self.read(key)
            if found is not None and found.content == content:
                return
            if isinstance(error, StoreError):
                raise
            raise Conflict(f"{self.url}/{key} was changed by somebody else") from error

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; those that are not there do not matter."""
        import obstore

        todo = list(keys)
        if todo:
            with self._asking(todo[0]):
                obstore.delete(self._store, todo)

    def listing(self, prefix: str = "") -> dict[str, Stored]:
        """The objects below a prefix (whole segments), by key."""
        import obstore

        with self._asking(prefix):
            pages = obstore.list(self._store, prefix or None, chunk_size=1000)
            return {
                entry["path"]: Stored(entry["size"], entry["last_modified"])
                for page in pages
                for entry in page
            }

    def folders(self, prefix: str = "") -> list[str]:
        """The next segments below a prefix, sorted, but for those of objects."""
        import obstore

        with self._asking(prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def now(self) -> datetime:
        """The store's clock, by an object written now: no other clock judges ages of objects."""
        import obstore

        self.write(CLOCK, b"")
        with self._asking(CLOCK):
            moment: datetime = obstore.head(self._store, CLOCK)["last_modified"]
        return moment

    def check(self) -> str:
        """Tries what the lake relies on; returns what was found, in words.

        Raises:
            StoreError: the store cannot be used, with the reason; among them a store that ignores the
            condition of a write, where two publications would overwrite each other.
        """
        key = f"{PROBE}{secrets.token_hex(8)}"
        try:
            self.swap(key, b"first", None)
            for tag in (None, '"00000000000000000000000000000000"'):
                try:
                    self.swap(key, b"second", tag)
                except Conflict:
                    continue
                raise StoreError(
                    f"{self.url} ignores the condition of a write (If-Match, If-None-Match): two "
                    "publications would overwrite each other. Use a store that has conditional writes"
                )
        finally:
            self.delete([key])
        apart = abs((self.now() - datetime.now(UTC)).total_seconds())
        return f"{self.url} answers, with conditional writes; clocks {apart:.0f} s apart"

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Turns obstore's errors into one that names the address and says what to do."""
        from obstore import exceptions

        passed = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
        try:
            yield
        except passed:
            raise
        except FileNotFoundError as error:
            if MISSING_BUCKET in str(error):
                raise StoreError(
                    f"the bucket of {self.url} does not exist: make it, or correct lake.url"
                ) from error
            raise
        except exceptions.BaseError as error:
            raise self._explained(error, f"{self.url}/{key}".rstrip("/")) from error

    def _explained(self, error: Exception, address: str) -> StoreError:
        from obstore import exceptions

        said = str(error).split("\n\nDebug source")[0].strip()
        if any(word in said for word in CLOCK_APART):
            return StoreError(
                f"{address}: the store refuses this machine's clock. Set it (NTP), and run again"
            )
        refused = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        if isinstance(error, refused):
            return StoreError(
                f"{address}: access denied. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a "
                f"role), and allow them to get, put, list and delete objects there ({said})"
            )
        if isinstance(error, exceptions.GenericError):
            return StoreUnreachable(
                f"{address} did not answer properly, in {self.retries.count + 1} tries or "
                f"{self.retries.seconds:.0f} s. Run again when the store is well, or check "
                f"AWS_ENDPOINT_URL, AWS_REGION and the credentials ({said})"
            )
        return StoreError(f"{address}: {said}")
