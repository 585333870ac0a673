"""MLflow's database into a file and back: SQLite by its own backup, PostgreSQL by pg_dump and pg_restore."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mien.config import MienError

SQLITE_COPY, POSTGRES_DUMP = "database.sqlite", "database.pgdump"

# where MLflow's SQLite keeps places of artifacts, which are paths of this machine when they lie beside it
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def dump(uri: str, into: Path) -> Path:
    """Write the database as it is at one moment, while others write to it; returns the file.

    uri: `sqlite:///PATH` or `postgresql://...`. MienError: it is neither, absent, damaged or out of reach.
    """
    url = _parsed(uri)
    if url.get_backend_name() == "sqlite":
        return _dump_sqlite(_sqlite_path(url), into / SQLITE_COPY)
    file = into / POSTGRES_DUMP
    _postgres(url, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")
    return file


def load(uri: str, file: Path, moved: tuple[str, str] | None) -> None:
    """Fill a database that `refuse_filled` let pass from a dump, whole or not at all.

    moved: the folder of artifacts as the dump knows it and as it is now, where they lie beside a SQLite file.
    MienError: the dump is of the other kind, or cannot be read.
    """
    url = _parsed(uri)
    is_sqlite = url.get_backend_name() == "sqlite"
    if (file.name == SQLITE_COPY) != is_sqlite:
        raise MienError(
            f"{file.name} cannot fill a {url.get_backend_name()} database; restore it where it came from."
        )
    if not is_sqlite:
        _postgres(
            url, "pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges",
            str(file),
        )  # fmt: skip
        return
    target = _sqlite_path(url)
    scratch = target.with_name(f".{target.name}.part")
    shutil.copyfile(file, scratch)
    if moved is not None:
        _move_places(scratch, *moved)
    scratch.replace(target)


def refuse_filled(uri: str) -> None:
    """MienError when a database that is to be restored holds something already."""
    url = _parsed(uri)
    if url.get_backend_name() == "sqlite":
        if _sqlite_path(url).exists():
            raise MienError(f"{_sqlite_path(url)} is there already; move it away to restore in its place.")
        return
    engine = create_engine(url)
    try:
        tables = inspect(engine).get_table_names()
    except SQLAlchemyError as error:
        raise MienError(f"{_shown(url)} does not answer ({_first_line(error)}); is it running?") from error
    finally:
        engine.dispose()
    if tables:
        raise MienError(
            f"{_shown(url)} holds {len(tables)} tables already; stop MLflow, and restore into a new database "
            "(createdb)."
        )


def _dump_sqlite(path: Path, file: Path) -> Path:
    if not path.is_file():
        raise MienError(f"{path} is missing: no run was made here yet, so there is nothing to back up.")
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    copy = sqlite3.connect(file)
    try:
        source.backup(copy)
        (state,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise MienError(f"{path} cannot be read ({error}); restore an earlier back-up.") from error
    finally:
        copy.close()
        source.close()
    if state != "ok":
        raise MienError(f"{path} is damaged ({state}); restore an earlier back-up.")
    return file


def _move_places(database: Path, old: str, new: str) -> None:
    connection = sqlite3.connect(database)
    with connection:
        for table, column in _PLACES:
            for prefix in ("", "file://"):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (
                        prefix + new,
                        len(prefix + old) + 1,
                        prefix + old,
                        len(prefix + old) + 1,
                        f"{prefix}{old}/",
                    ),
                )
    connection.close()


def _postgres(url: URL, program: str, *words: str) -> None:
    """Run a client of PostgreSQL; the password goes by the environment, which others cannot read."""
    found = shutil.which(program)
    if found is None:
        raise MienError(f"{program} is not on the path; on Debian: apt-get install postgresql-client.")
    where = {"--host": url.host, "--port": url.port, "--username": url.username, "--dbname": url.database}
    given = [f"{name}={value}" for name, value in where.items() if value is not None]
    environment = {**os.environ, "PGPASSWORD": url.password} if url.password else dict(os.environ)
    done = subprocess.run(
        [found, "--no-password", *given, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no word from it"]
        raise MienError(f"{program} of {_shown(url)} failed ({said[-1]}); nothing was kept.")


def _parsed(uri: str) -> URL:
    try:
        url = make_url(uri)
    except ArgumentError as error:
        raise MienError("MLflow's database is not given as sqlite:///PATH or postgresql://....") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise MienError(f"{url.get_backend_name()} databases are not backed up; SQLite and PostgreSQL are.")
    return url


def _sqlite_path(url: URL) -> Path:
    return Path(str(url.database))


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _first_line(error: SQLAlchemyError) -> str:
    return str(error).splitlines()[0]
