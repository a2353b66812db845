"""The request log as one table of a SQL database: PostgreSQL for many machines, SQLite for one.

A record stays the JSON that the files have, so that a database outlives new fields of it; what is asked for
has columns of its own. In PostgreSQL: ``SELECT record::jsonb ->> 'scale' FROM mome_requests``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    SmallInteger,
    Table,
    Text,
    create_engine,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from mome.errors import ConfigError, MonitorError, ServiceError
from mome.records import RequestRecord
from mome.request_log.store import CLOCKS_APART, Window

__all__ = ["DatabaseStore"]

# Its key is how it is read, newest first, and how old rows are found; and a record that is given twice,
# because the answer to the first time was lost, is there once.
_REQUESTS = Table(
    "mome_requests",
    MetaData(),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),  # since 1970
    Column("request_id", Text, primary_key=True),
    Column("status", SmallInteger, nullable=False),
    Column("record", Text, nullable=False),
)
_MAKING = 0x6D6F6D65  # "mome": whoever holds this lock makes the table
_ANSWER_S = 10  # most that a database takes for one statement
_DELETION_S = 600
# Of libpq: a server that is gone without a word is noticed within a quarter of a minute, not of an hour.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # milliseconds
}


class DatabaseStore:
    """Rows of a table, which the first append makes.

    Args:
        address: ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`` or ``sqlite:///FILE``. Parameters behind
            a question mark go to the driver: ``?sslmode=verify-full``.

    Raises:
        ConfigError: If it is no such URL, or its driver is not installed. It is not repeated in any message:
            of what is said only host and database are named.
    """

    is_remote = True

    def __init__(self, address: str) -> None:
        url = _parsed(address)
        self._is_postgresql = url.get_backend_name() == "postgresql"
        self._file = None if self._is_postgresql else Path(url.database or "")
        self._secrets = [
            secret
            for secret in (url.password, url.query.get("password"))
            if secret and isinstance(secret, str)
        ]
        self.name = f"{url.host or 'localhost'}/{url.database}" if self._is_postgresql else str(self._file)
        arguments = _PATIENCE if self._is_postgresql else {"timeout": float(_ANSWER_S)}
        try:
            self._engine = create_engine(
                url,
                connect_args={key: value for key, value in arguments.items() if key not in url.query},
                pool_size=1,
                max_overflow=1,  # one thread writes, and another may read
                pool_pre_ping=True,
                hide_parameters=True,
            )
        except ImportError as error:
            raise ConfigError(f"request log: {error}; install the extra database") from None
        if not self._is_postgresql:
            event.listen(self._engine, "connect", _let_read_while_written)
        self._is_made = False

    def append(self, records: Sequence[RequestRecord]) -> None:
        """Add a row for each record in one transaction: all of them or none.

        Raises:
            ServiceError: If the database cannot be reached, or refuses.
            OSError: If the folder of a file of SQLite cannot be made.
        """
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        insert = postgresql.insert if self._is_postgresql else sqlite.insert
        rows = [
            {
                "at_ms": _milliseconds(record.at),
                "request_id": record.request_id,
                "status": record.status,
                "record": record.model_dump_json(),
            }
            for record in records
        ]
        with self._transaction(_ANSWER_S) as connection:
            self._make(connection)
            connection.execute(insert(_REQUESTS).on_conflict_do_nothing(), rows)

    def newest(self, size: int, max_age_s: float, now: datetime) -> Window:
        """Return the newest requests; no more rows are read than that takes.

        Raises:
            MonitorError: If rows were found and none of them is a request.
            ServiceError: If the database cannot be reached, or refuses.
        """
        if self._file is not None and not self._file.exists():  # to ask SQLite for it would make it
            return Window([], 0)
        at_ms = _REQUESTS.c.at_ms
        query = (
            select(_REQUESTS.c.record)
            .where(at_ms >= _milliseconds(now - timedelta(seconds=max_age_s)))
            .where(at_ms <= _milliseconds(now + CLOCKS_APART))
            .where(_REQUESTS.c.status == 200)
            .order_by(at_ms.desc(), _REQUESTS.c.request_id.desc())
            .execution_options(yield_per=size)
        )
        found: dict[str, RequestRecord] = {}
        unreadable = 0
        with self._transaction(_ANSWER_S) as connection:
            if not self._is_there(connection):
                return Window([], 0)
            with closing(connection.scalars(query)) as records:
                for record in records:
                    try:
                        request = RequestRecord.model_validate_json(record)
                    except ValidationError:
                        unreadable += 1
                        continue
                    found.setdefault(request.request_id, request)
                    if len(found) == size:
                        break
        if unreadable and not found:
            raise MonitorError(
                f"{self.name}: none of {unreadable} rows is a RequestRecord; is this a request log?"
            )
        return Window(list(reversed(found.values())), unreadable)

    def delete_before(self, moment: datetime) -> int:
        """Delete older rows.

        Raises:
            ServiceError: If the database cannot be reached, or refuses.
        """
        if self._file is not None and not self._file.exists():
            return 0
        with self._transaction(_DELETION_S) as connection:
            if not self._is_there(connection):
                return 0
            done = connection.execute(sql_delete(_REQUESTS).where(_REQUESTS.c.at_ms < _milliseconds(moment)))
            return done.rowcount

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, seconds: float) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if self._is_postgresql:  # of this transaction: poolers forget what is set for a session
                    connection.execute(text(f"SET LOCAL statement_timeout = {round(1000 * seconds)}"))
                yield connection
        except SQLAlchemyError as error:
            self._is_made = False
            raise ServiceError(f"request log: {self.name}: {self._reason(error)}") from None

    def _is_there(self, connection: Connection) -> bool:
        self._is_made = self._is_made or inspect(connection).has_table(_REQUESTS.name)
        return self._is_made

    def _make(self, connection: Connection) -> None:
        # Asked first: who may only write is not allowed to make even what is there already.
        if self._is_there(connection):
            return
        if self._is_postgresql:
            # Two that make a table at once, IF NOT EXISTS or not, end with an error in one of them.
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        connection.execute(CreateTable(_REQUESTS, if_not_exists=True))

    def _reason(self, error: SQLAlchemyError) -> str:
        """Return what the driver says, in one line and without secrets."""
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
        line = " ".join(said.split())
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


def _parsed(address: str) -> URL:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # what they say may have a part of the password in it
        raise ConfigError(
            "request log: its URL cannot be read; expected postgresql+psycopg://USER:PASSWORD@HOST/DATABASE "
            "or sqlite:///FILE, with %40 for @, %3A for : and %2F for / in a password"
        ) from None
    if not url.database or url.database == ":memory:":
        raise ConfigError("request log: its URL names no database; expected one behind the last /")
    return url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _let_read_while_written(connection: Any, _: object) -> None:
    # Of two processes that ask for this at once, one is told that the file is locked; it is set then.
    with suppress(Exception):
        connection.execute("PRAGMA journal_mode=WAL")
