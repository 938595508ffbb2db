"""Which errors may pass by themselves: a network that hiccups, a database that is busy,
an object store that stumbles, a publication that somebody else's overtook.

Everything else (a damaged dump, a wrong setting, a full disk) fails at once: a second try would only
delay the message.
"""

from __future__ import annotations

import sqlite3

from zipp_dagster.platform.files import raised_from
from zipp_dagster.platform.object_store import Conflict, StoreUnreachable

NETWORK_PACKAGES = ("requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "openai")
NETWORK_WORDS = ("Timeout", "Connect", "RemoteProtocol", "ReadError", "RateLimit")
BUSY_WORDS = ("database is locked", "could not connect", "connection refused", "server closed")


def is_transient(error: BaseException | None) -> bool:
    """Whether the error, or one that it was raised from, is worth another try."""
    return any(_may_pass(one) for one in raised_from(error))


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError | StoreUnreachable | Conflict):
        return True
    package, name = type(error).__module__.split(".")[0], type(error).__name__
    if package in NETWORK_PACKAGES and any(word in name for word in NETWORK_WORDS):
        return True
    database = isinstance(error, sqlite3.OperationalError) or (
        package == "sqlalchemy" and name in ("OperationalError", "InterfaceError")
    )
    return database and any(word in str(error).lower() for word in BUSY_WORDS)
