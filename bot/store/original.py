"""Reads the tables of a SQLite file that belongs to another program, and leaves no trace beside it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bot.errors import InvalidInput

MOST_ROWS = 20_000
_TRIES = 3


def read_tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table by its name, as they are at this moment; the program may be running.

    A copy is read: SQLite would make files beside the original. Raises `InvalidInput` for what is no such file, or
    larger than `MOST_ROWS` in one table; `OSError`.
    """
    with tempfile.TemporaryDirectory(prefix="o8-import-") as folder:  # mode 0700: it holds hashes of passwords
        copy = _copied(path, Path(folder))
        try:
            with closing(sqlite3.connect(copy)) as connection:
                connection.text_factory = lambda text: text.decode(errors="replace")
                connection.row_factory = sqlite3.Row
                return {name: list(_rows(connection, name)) for name in _names(connection)}
        except sqlite3.Error as error:
            raise InvalidInput(f"{path} cannot be read as SQLite: {error}.", "Is it the original's?") from None


def _copied(path: Path, folder: Path) -> Path:
    """A copy with what is not yet in the file itself; anew when it was written to meanwhile."""
    for _ in range(_TRIES):
        before = _state(path)
        for part in _parts(path):
            shutil.copyfile(part, folder / part.name)
        if _state(path) == before:
            return folder / path.name
    raise InvalidInput(f"{path} is being written to all the time.", "Try again, or stop the original for a moment.")


def _parts(path: Path) -> list[Path]:
    beside = [path.with_name(path.name + ending) for ending in ("-wal", "-journal")]
    return [path, *(part for part in beside if part.is_file())]


def _state(path: Path) -> list[tuple[str, int, int]]:
    found = [(part.name, part.stat()) for part in _parts(path)]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def _names(connection: sqlite3.Connection) -> list[str]:
    query = (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    return [str(row["name"]) for row in connection.execute(query)]


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    quoted = '"' + table.replace('"', '""') + '"'
    for number, row in enumerate(connection.execute(f"SELECT * FROM {quoted}")):  # noqa: S608
        if number >= MOST_ROWS:
            raise InvalidInput(f"Table {table:.80} has more than {MOST_ROWS} rows.", "Is it the original's?")
        yield dict(row)
