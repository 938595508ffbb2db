from __future__ import annotations

import sqlite3

import pytest
import requests
import sqlalchemy.exc

from zipp_dagster.platform.transient import is_transient
from zipp_dagster.reddit.dumps import DumpError


def database(text: str) -> Exception:
    return sqlalchemy.exc.OperationalError("SELECT", {}, sqlite3.OperationalError(text))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset by peer"),
        TimeoutError("timed out"),
        requests.ConnectTimeout("slow"),
        requests.ConnectionError("refused"),
        sqlite3.OperationalError("database is locked"),
        database("database is locked"),
    ],
    ids=lambda e: f"{type(e).__name__} {e}"[:40],
)
def test_what_may_pass_by_itself_is_worth_another_try(error):
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        DumpError("truncated"),
        OSError(28, "No space left on device"),
        database("no such table: runs"),
        requests.HTTPError("404"),
        ValueError("connection string"),
        None,
    ],
    ids=lambda e: f"{type(e).__name__} {e}"[:40],
)
def test_what_stays_wrong_fails_at_once(error):
    assert not is_transient(error)


def test_an_error_is_judged_by_what_it_was_raised_from():
    try:
        try:
            raise ConnectionResetError("reset")
        except ConnectionResetError as error:
            raise RuntimeError("the model cannot be loaded") from error
    except RuntimeError as error:
        assert is_transient(error)


def test_errors_that_name_one_another_are_looked_at_once():
    first, second = ValueError("one"), ValueError("two")
    first.__context__, second.__cause__ = second, first
    assert not is_transient(first)
