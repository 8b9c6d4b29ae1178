"""How to talk to SQLite; knows no tables.

Every connection is opened here with the same settings, none of them left to a default: a write-ahead log, synced
at each commit, so that what a transaction kept survives a loss of power; freed pages handed back in small steps.
Whoever opens a file says what kind of file it is (`application_id`), and a file of another kind is refused before
anything in it is touched.

A connection is used by one thread at a time: either the loop's, for reads that answer at once, or one from a pool,
under the lock of a `Desk`.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import apsw

from postoffice.database.key import LOCKED_PAGE_OCTETS, Key
from postoffice.errors import DamagedStore, StoreError, StoreUnavailable

PAGE_OCTETS = 8192
"""Of a file that is made anew; one that is there keeps its own. Reading a letter of 10 KB costs 15 % less than with
4 KiB, and no more than with 16, where it fills half as much disk again (docs/decisions.md)."""

BUSY_SECONDS = 10.0
_BUSY_PAUSE_SECONDS = 0.005

WRITE_BACK_OCTETS = 4 * 1024 * 1024
"""At what length the log is written back, so that it stays small and no commit pays for a big one."""

LOG_OCTETS = 8 * 1024 * 1024
"""To what size the log's file is cut back when it has grown."""

_NORMAL = 1
_VERSIONS = slice(18, 20)
_HAS_LOG = b"\2\2"  # <https://www.sqlite.org/fileformat2.html>, file format version numbers

T = TypeVar("T")


class Rows(Protocol):
    """What a statement gives. The types of the columns stand in the schema and not here."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...

    @property
    def get(self) -> Any:
        """The only column of the only row; None if there is no row."""


class Connection(Protocol):
    """What is used of an `apsw.Connection`."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, statements: str, bindings: Sequence[object] = ()) -> Rows: ...
    def executemany(self, statements: str, bindings: Iterable[Sequence[object]]) -> Rows: ...
    def changes(self) -> int: ...
    def last_insert_rowid(self) -> int: ...
    def create_scalar_function(self, name: str, function: Callable[..., Any], /) -> None: ...
    def blob_open(self, database: str, table: str, column: str, rowid: int, writeable: bool, /) -> Any: ...
    def file_control(self, dbname: str, op: int, pointer: int) -> bool: ...
    def serialize(self, name: str, /) -> bytes: ...
    def close(self) -> None: ...
    def __enter__(self) -> object: ...
    def __exit__(self, *error: object) -> bool | None: ...


class Kind(NamedTuple):
    """A kind of file: how it is told from others, what people call it, its tables as they are made today, and the steps
    that lead to the same from those of the first version.

    A file of version N, which stands in its own header (`user_version`), has N - 1 steps behind it.
    `functions` are what the steps call beyond SQL, by name.
    """

    application_id: int
    name: str
    tables: str
    steps: tuple[str, ...]
    functions: tuple[tuple[str, Callable[..., object]], ...] = ()

    @property
    def version(self) -> int:
        """That of today."""
        return len(self.steps) + 1


def open_writer(
    path: Path,
    vfs: str | None = None,
    cache_octets: int = 1 << 22,
    key: Key | None = None,
    write_back_octets: int = WRITE_BACK_OCTETS,
) -> Connection:
    """A connection that may write. Makes the file, readable by its owner only, if it is not there; with a `key`,
    encrypted by it. Its log is written back to the file at a length of `write_back_octets`."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)
    connection = _open(path, vfs, key)
    with _set_up(connection, path):
        connection.execute(f"PRAGMA page_size = {_page_octets(key)}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _begin_log(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = OFF")
        log_pages = write_back_octets // page_octets_of(connection)
        connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {LOG_OCTETS}").fetchall()
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"PRAGMA cache_size = -{cache_octets // 1024}")
    return connection


@contextmanager
def _set_up(connection: Connection, path: Path) -> Iterator[None]:
    """A new connection gets its settings. If that cannot be, it is shut."""
    try:
        yield
    except apsw.Error as error:
        shut(connection)
        raise store_error(error, path) from error


def _begin_log(connection: Connection) -> None:
    """Where several make the same file at once, SQLite lets none of them wait here for the one that is first."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)


def open_reader(path: Path, vfs: str | None = None, cache_octets: int = 1 << 20, key: Key | None = None) -> Connection:
    """A connection that only asks."""
    connection = _open(path, vfs, key)
    try:
        return _asking(connection, cache_octets)
    except (apsw.IOError, apsw.FullError, apsw.CantOpenError) as error:
        # On a full disk there is no room for what SQLite puts beside a file, and so nobody else has it open either.
        if not has_empty_log(path):
            raise store_error(error, path) from error
        still = made_ready(_open_still(path, vfs), path, key)
    except apsw.Error as error:
        raise store_error(error, path) from error
    try:
        return _asking(still, cache_octets)
    except apsw.Error as error:
        raise store_error(error, path) from error


def _asking(connection: Connection, cache_octets: int) -> Connection:
    """It looks at the file for the first time. If that cannot be, it is shut."""
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA synchronous = FULL")  # for `write_back`, which it may do all the same
        connection.execute(f"PRAGMA cache_size = -{cache_octets // 1024}")
        connection.execute("PRAGMA journal_mode").fetchall()
    except apsw.Error:
        shut(connection)
        raise
    return connection


def has_empty_log(path: Path) -> bool:
    """Whether all that a file holds is in the file itself."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False


def open_untouched(path: Path, key: Key | None = None) -> Connection:
    """A connection that cannot change the file, not even by what its log holds; others may write it meanwhile."""
    manner = "immutable=1" if _lies_still(path) else "mode=ro"
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"{path.absolute().as_uri()}?{manner}", flags)
    except apsw.Error as error:
        raise store_error(error, path) from error
    return made_ready(connection, path, key)


def open_draft(path: Path, key: Key | None = None, page_octets: int | None = None) -> Connection:
    """A connection to a file that nobody else knows yet, readable by its owner only, and quick because of it.

    Nothing of it is durable, and nothing is whole, until whoever made it has closed and synced it. A copy of another
    file, page by page, needs pages of the same size.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = _open(path, None, key)
    with _set_up(connection, path):
        connection.execute(f"PRAGMA page_size = {page_octets or _page_octets(key)}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    return connection


def open_draft_to_go_on(path: Path, vfs: str | None, cache_octets: int) -> Connection:
    """The same to one that becomes a file of use as it is (`sync_draft`). Until then a transaction is whole unless the
    process ends, and other connections of the process read what it has committed."""
    connection = _open(path, vfs, None)
    with _set_up(connection, path):
        connection.execute("PRAGMA journal_mode = MEMORY").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"PRAGMA cache_size = -{cache_octets // 1024}")
    return connection


def sync_draft(connection: Connection) -> None:
    """All that was committed by it is durable, but for the name of the file."""
    version = one_number(connection, "PRAGMA user_version")
    connection.execute("PRAGMA synchronous = FULL")
    with transaction(connection):  # SQLite syncs behind what alters a page, if it is by the same value
        connection.execute(f"PRAGMA user_version = {version}")


def open_in_memory() -> Connection:
    """A connection to an empty database in memory, laid out as a file that is made anew."""
    connection = cast(Connection, apsw.Connection(":memory:"))
    connection.execute(f"PRAGMA page_size = {_page_octets(None)}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    return connection


def with_log(octets: bytes) -> bytes:
    """A file, which has a write-ahead log when it is opened, from the octets of one that has none."""
    return octets[: _VERSIONS.start] + _HAS_LOG + octets[_VERSIONS.stop :]


def _page_octets(key: Key | None) -> int:
    """Of a new file. To another size than an encrypted one has, SQLite would not open it."""
    return PAGE_OCTETS if key is None else LOCKED_PAGE_OCTETS


def _open(path: Path, vfs: str | None, key: Key | None) -> Connection:
    try:
        if _lies_still(path):
            connection = _open_still(path, vfs)
        else:
            connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.Error as error:
        raise store_error(error, path) from error
    return made_ready(connection, path, key)


def _open_still(path: Path, vfs: str | None) -> apsw.Connection:
    """As one that nobody changes while it is looked at."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"{path.absolute().as_uri()}?immutable=1", flags, vfs=vfs)


def made_ready(connection: apsw.Connection, path: Path, key: Key | None) -> Connection:
    """A new connection, patient and with its key, whose plans are kept for all values.

    SQLite would plan many a statement anew whenever a value that is bound to it changes, to look at statistics that
    no file of ours has: half of what a look-up costs.
    """
    try:
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        for pragma in key.pragmas() if key is not None else ():
            connection.execute(pragma).fetchall()
    except apsw.Error as error:
        connection.close()
        raise store_error(error, path) from error
    return cast(Connection, connection)


def _lies_still(path: Path) -> bool:
    """Whether a file is where nothing can be written, such as a disc, and nobody has it open: SQLite cannot put its
    log beside it, and need not."""
    return not os.access(path.parent, os.W_OK) and path.exists() and not path.with_name(f"{path.name}-wal").exists()


def shut(connection: Connection) -> None:
    """Close it. What could not be written back now is in the log still, and whoever opens the file next does it."""
    with suppress(apsw.Error):
        connection.close()


def store_error(error: apsw.Error, path: Path) -> StoreError:
    """What an error of SQLite means for whoever waits for an answer."""
    match error:
        case apsw.CorruptError() | apsw.NotADBError():
            return DamagedStore(f"{path} is damaged: {_said(error)}")
        case apsw.FullError() | apsw.IOError() | apsw.BusyError() | apsw.CantOpenError() | apsw.ReadOnlyError():
            return StoreUnavailable(f"{path} cannot be used now: {_said(error)}")
        case _:
            return StoreError(f"{path}: {type(error).__name__}: {error}")


def _said(error: apsw.Error) -> str:
    """In SQLite's words; of what stops the copying of pages it has none but that it was no error."""
    match error:
        case _ if str(error) != "not an error":
            return str(error)
        case apsw.CorruptError():
            return "a page is malformed"
        case apsw.FullError():
            return "the disk is full"
        case _:
            return type(error).__name__


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All of it or nothing, durable once it is left. Takes the right to write at its beginning."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def unsynced_transaction(connection: Connection) -> Iterator[None]:
    """All of it or nothing, durable with the next `transaction` of this connection: the log is synced as a whole."""
    before = one_number(connection, "PRAGMA synchronous")
    connection.execute(f"PRAGMA synchronous = {min(before, _NORMAL)}")
    try:
        with transaction(connection):
            yield
    finally:
        connection.execute(f"PRAGMA synchronous = {before}")


def write_back(connection: Connection) -> None:
    """Write what the log holds into the file, as far as nobody is in the way, who is not disturbed either.

    The log is synced before, and the file behind it, also by a connection that only asks.
    """
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def page_octets_of(connection: Connection) -> int:
    """What the pages of a file have that was looked into."""
    return one_number(connection, "PRAGMA page_size")


def give_space_back(connection: Connection, *, spare_pages: int, step_pages: int = 128) -> None:
    """Hand freed pages back to the disk in small transactions, but for a few that the next letter will need."""
    while True:
        free = one_number(connection, "PRAGMA freelist_count")
        if free <= spare_pages:
            return
        connection.execute(f"PRAGMA incremental_vacuum({min(step_pages, free - spare_pages)})").fetchall()
        if one_number(connection, "PRAGMA freelist_count") >= free:
            return


def one_number(connection: Connection, sql: str, bindings: tuple[object, ...] = ()) -> int:
    """The only column of the only row, which is a number."""
    value = connection.execute(sql, bindings).get
    if not isinstance(value, int):
        raise StoreError(f"{sql!r} gave {value!r} instead of a number")
    return value


def sync_directory(path: Path) -> None:
    """Make names that were made or taken away in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Desk:
    """One connection that threads of a pool use in turn; opened when first needed."""

    def __init__(self, path: Path, pool: Executor, open_it: Callable[[Path], Connection]) -> None:
        self._path = path
        self._pool = pool
        self._open_it = open_it
        self._turn = threading.Lock()
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has a connection, or somebody works here who may be opening one."""
        return self._connection is not None or self._turn.locked()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a thread. Once begun it ends, also when nobody waits any more."""
        return await self.begin(work)

    def begin(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """The same, to be waited for later."""
        return asyncio.get_running_loop().run_in_executor(self._pool, self.run_here, work)

    def run_here(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in this thread."""
        with self._turn:
            return self._do(work)

    def close(self) -> None:
        """Waits for who works there now. The next `run` opens it anew."""
        with self._turn:
            self._shut()

    def move(self, last: Callable[[Connection], object], move: Callable[[], object]) -> None:
        """Do `last`, close, and `move` the file, with nobody in between. The next `run` opens it anew."""
        with self._turn:
            self._do(last)
            self._shut()
            move()

    def _do(self, work: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._open_it(self._path)
        try:
            return work(self._connection)
        except apsw.Error as error:
            raise store_error(error, self._path) from error

    def _shut(self) -> None:
        if self._connection is not None:
            shut(self._connection)
            self._connection = None
