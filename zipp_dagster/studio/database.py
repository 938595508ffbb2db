"""Opens the studio's database: SQLite with a write-ahead log, or PostgreSQL by URL.

Transactions are the same for both: writers of SQLite begin IMMEDIATE, so that two of them wait for
each other instead of failing at the end; a vote is on disk (synchronous = FULL) before it is answered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from zipp_dagster.studio.study import StudyError
from zipp_dagster.studio.tables import metadata

READING = {"studio_reading": True}
"""Execution option of a connection that writes nothing."""


def default_url(home: Path) -> str:
    """The SQLite file below ZIPP_HOME."""
    return f"sqlite:///{home / 'studio' / 'studio.db'}"


def open_database(url: str, *, durable: bool = True) -> Engine:
    """An engine with all tables present. StudyError for a URL of another system.

    Without `durable`, SQLite does not wait for the disk: for a database that nobody keeps.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StudyError(
            "setting studio.database_url is no database URL; for example postgresql://user@host/name"
        ) from error
    system = parsed.get_backend_name()
    if system == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": 30}, pool_size=16, max_overflow=32)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if not durable:
            event.listen(engine, "connect", _do_not_wait)
    elif system == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg2")
        engine = create_engine(parsed, pool_pre_ping=True, pool_size=16, max_overflow=32)
    else:
        raise StudyError(f"setting studio.database_url: {system} is neither sqlite nor postgresql")
    metadata.create_all(engine)
    return engine


def insert_once(engine: Engine, table: Table) -> Any:
    """An INSERT that does nothing where the primary key is there already."""
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver's own BEGIN comes too late to be IMMEDIATE; `_begin_sqlite` says it instead.
    connection.isolation_level = None
    for pragma in (
        *("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"),
        # A withdrawn participant's rows are overwritten, not only unlinked.
        *("secure_delete = ON", "busy_timeout = 30000"),
    ):
        connection.execute(f"PRAGMA {pragma}")


def _do_not_wait(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def _begin_sqlite(connection: Any) -> None:
    reading = connection.get_execution_options().get("studio_reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
