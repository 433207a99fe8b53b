"""What an operator does with a hub's database while no hub is asked: `fenglin db`."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from fenglin.bootstrap import DATABASE, read_config
from fenglin.bootstrap.clock import SystemClock
from fenglin.daemon import owned
from fenglin.errors import ConflictError, DamageError, InputError, NotFoundError
from fenglin.storage import books, migrations, schema
from fenglin.storage.carry import SqliteTarget, carry
from fenglin.storage.checks import problems
from fenglin.storage.failures import translate
from fenglin.storage.restored import outlive
from fenglin.storage.vault import keys_in_use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.storage.carry import Counted, Target
    from fenglin.storage.postgres.connection import PostgresConnection
    from fenglin.wire.views import LedgerCheck

EXTRA = "install fenglin[postgres]"


class Place(NamedTuple):
    """Where a hub keeps its state.

    Attributes:
        folder: Its data folder.
        url: Of its PostgreSQL database; empty for the file in the folder.
    """

    folder: Path
    url: str

    @property
    def file(self) -> Path:
        """Return the file of an embedded store."""
        return self.folder / DATABASE


class Carried(NamedTuple):
    """What was copied, and the ledger on both sides.

    Attributes:
        tables: Equal on both sides, row by row.
        before: The source's ledger.
        after: The target's.
    """

    tables: list[Counted]
    before: LedgerCheck
    after: LedgerCheck


def place_of(config: Path | None, data: Path | None) -> Place:
    """Return where the hub of a configuration keeps its state; see `run_hub`."""
    settings, base = read_config(config)
    folder = (data if data is not None else base / settings.hub.data).absolute()
    return Place(folder, settings.hub.database)


def migrate(place: Place) -> tuple[int, int]:
    """Take the tables forward to this program's version; return the versions before and after.

    Raises:
        ConflictError: a hub is running on the folder.
    """
    if place.url:
        with _postgres(place.url, current=False) as conn:
            before = _version(conn)
        with _postgres(place.url):
            return before, migrations.SCHEMA_VERSION
    with owned(place.folder, "hub"), _file(place.file, current=False) as conn:
        before = _version(conn)
        writing = schema.connect(place.file)
        try:
            schema.ensure_schema(writing, place.file)
        finally:
            writing.close()
    return before, migrations.SCHEMA_VERSION


def backup(place: Place, to: Path) -> Carried:
    """Write a whole copy of the state into a new file, which a running hub does not hinder."""
    with _source(place) as source:
        return _into_file(source, to, restored=False)


def restore(place: Place, backup_file: Path) -> Carried:
    """Fill an empty place from a backup, of an older version too; epochs go on far above.

    Raises:
        ConflictError: there is a database already, or a hub is running on the folder.
    """
    with tempfile.TemporaryDirectory(prefix="fenglin-restore-") as scratch:
        with _file(backup_file, current=False) as found:
            newest = Path(scratch) / DATABASE
            _copy_file(found, newest)
        writing = schema.connect(newest)
        try:
            schema.ensure_schema(writing, newest)
        finally:
            writing.close()
        with _file(newest) as source:
            if place.url:
                return _into_postgres(source, place.url, restored=True)
            with owned(place.folder, "hub"):
                return _into_file(source, place.file, restored=True)


def move(place: Place, to_url: str) -> Carried:
    """Carry an embedded store over into an empty PostgreSQL database.

    The file stays as `fenglin.db.moved`, so that no hub goes on with it by mistake.

    Raises:
        ConflictError: a hub is running on the folder, or the database is in use.
    """
    if place.url:
        raise InputError("the state lies in PostgreSQL already", where="hub.database")
    with owned(place.folder, "hub"):
        with _file(place.file) as source:
            found = _into_postgres(source, to_url, restored=False)
        place.file.rename(place.file.with_name(place.file.name + ".moved"))
    return found


def check(place: Place) -> list[str]:
    """Return what is wrong with the database, in words; a running hub does not mind."""
    with _source(place) as conn:
        return list(problems(conn))


def _into_file(source: sqlite3.Connection, to: Path, *, restored: bool) -> Carried:
    if to.exists():
        raise ConflictError("this file exists", where=str(to), hint="choose another, or move it")
    before = _sound(source, "the ledger that is to be copied")
    part = to.with_name(to.name + ".part")
    part.unlink(missing_ok=True)
    target = SqliteTarget(part)
    try:
        with contextlib.closing(target.conn):
            tables = _fill(source, target, restored=restored)
            after = _sound(target.conn, "the ledger as it was copied")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(to)
    return Carried(tables, before, after)


def _into_postgres(source: sqlite3.Connection, url: str, *, restored: bool) -> Carried:
    with _driver():
        from fenglin.storage.postgres.carry import PostgresTarget  # noqa: PLC0415
    before = _sound(source, "the ledger that is to be copied")
    target = PostgresTarget(url)
    with contextlib.closing(target.conn):
        tables = _fill(source, target, restored=restored)
    with _postgres(url, read_only=True) as there:
        after = _sound(cast("sqlite3.Connection", there), "the ledger as it was copied")
    return Carried(tables, before, after)


def _fill(source: sqlite3.Connection, target: Target, *, restored: bool) -> list[Counted]:
    try:
        # Only now is it known that others may have led, and given out numbers, since.
        after = partial(outlive, now_ms=SystemClock().now_ms())
        return carry(source, target, after if restored else None)
    except sqlite3.Error as error:
        raise translate(error) from error


def _sound(conn: sqlite3.Connection, what: str) -> LedgerCheck:
    check = books.verify(conn)
    if not check.ok:
        raise DamageError(
            f"{what} is not in order: {check.problem}",
            where=f"entry {check.first_bad_seq}" if check.first_bad_seq else "ledger",
            hint="run `fenglin db check`",
        )
    return check


@contextlib.contextmanager
def _source(place: Place) -> Iterator[sqlite3.Connection]:
    if place.url:
        with _postgres(place.url, read_only=True) as conn:
            yield cast("sqlite3.Connection", conn)
    else:
        with _file(place.file) as conn:
            yield conn


@contextlib.contextmanager
def _file(path: Path, *, current: bool = True) -> Iterator[sqlite3.Connection]:
    """Yield a reading connection to a file, of this version unless told otherwise."""
    if not path.is_file():
        raise NotFoundError("there is no database", where=str(path), hint="see --config and --data")
    with contextlib.closing(schema.connect(path, read_only=True)) as conn:
        if current:
            _check_version(_version(conn), str(path))
        yield conn


@contextlib.contextmanager
def _postgres(
    url: str, *, current: bool = True, read_only: bool = False
) -> Iterator[PostgresConnection]:
    with _driver():
        from fenglin.storage.postgres.connection import PostgresConnection  # noqa: PLC0415
        from fenglin.storage.postgres.store import open_database, shown  # noqa: PLC0415
    try:
        if current and not read_only:
            conn = open_database(url)
        else:
            conn = PostgresConnection(url, read_only=read_only)
    except sqlite3.Error as error:
        raise translate(error, shown(url)) from error
    with contextlib.closing(conn):
        if current:
            _check_version(_version(conn), shown(url))
        yield conn


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    """Say which extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"PostgreSQL needs the package {error.name}", where="hub.database", hint=EXTRA
        ) from error


def _version(conn: sqlite3.Connection | PostgresConnection) -> int:
    """Return the version of the tables; 0 for none of ours."""
    if isinstance(conn, sqlite3.Connection):
        return int(conn.execute("PRAGMA user_version").fetchone()[0])
    from fenglin.storage.postgres.schema import stored_version  # noqa: PLC0415

    return stored_version(conn) or 0


def _check_version(version: int, where: str) -> None:
    if version != migrations.SCHEMA_VERSION:
        raise ConflictError(
            f"its tables are of version {version}, this program's of {migrations.SCHEMA_VERSION}",
            where=where,
            hint="run `fenglin db migrate`, or the program version that wrote it",
        )


def _copy_file(source: sqlite3.Connection, to: Path) -> None:
    to.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(to)) as target:
        source.backup(target)


def keys_of_secrets(place: Place) -> dict[str, int]:
    """Return how many secrets each key seals, by the key's id.

    Raises:
        FenglinError: the database cannot be opened, or is of another version.
    """
    with _source(place) as conn:
        return keys_in_use(conn)


def quick_check(place: Place) -> list[str]:
    """Return what a quick look finds wrong; `check` looks at everything.

    Raises:
        FenglinError: it cannot be opened, or is of another version.
    """
    with _source(place) as conn:
        if place.url:
            return []
        lines = conn.execute("PRAGMA quick_check(3)").fetchall()
        return [f"the file is damaged: {line}" for (line,) in lines if line != "ok"]
