"""SQLite: connections, transactions and the way to the newest tables.

Everything here blocks, so it is called in worker threads: by handlers that are plain functions, which run
in one anyway, or through `trio.to_thread.run_sync`. It knows neither orders nor clients.

A transaction that has been committed survives the end of the process and of the power: the write-ahead
log is on the disk before COMMIT returns (`synchronous = FULL`). One that was not is gone as a whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Concatenate, ParamSpec, TypeVar

from orders.schema import MIGRATIONS

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 10.0
"""How long a writer waits for the writer before it."""


class DatabaseTooNew(Exception):
    """A newer version of this program has written the database."""


class Database:
    """The order desk's database.

    Args:
        path: of the file; its folder is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()

    def open(self) -> None:
        """Make the database, or bring it to the newest version.

        Raises:
            DatabaseTooNew: it comes from a newer program.
            sqlite3.Error: the file cannot be used.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise DatabaseTooNew(
                    f"{self._path} has version {version}, this program knows {len(MIGRATIONS)}: update it"
                )
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                connection.executescript(
                    f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
                )

    def close(self) -> None:
        """Close all connections that are not in use."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function on one consistent state of the database; writers do not disturb it.

        Args:
            query: takes a connection, then the arguments.
            args: its positional arguments.
            kwargs: its keyword arguments.
        """
        with self._transaction("BEGIN") as connection:
            return query(connection, *args, **kwargs)

    def write(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function that changes the database, wholly or, where it raises, not at all.

        Args:
            change: takes a connection, then the arguments.
            args: its positional arguments.
            kwargs: its keyword arguments.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:  # writers queue here, before they read
            return change(connection, *args, **kwargs)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection, which one thread uses at a time; a broken one is not used again."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._idle.put(connection)
            raise
        self._idle.put(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
