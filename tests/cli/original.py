"""Makes a data folder as the original Orchestr8 kept it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import argon2

# As Bun.password.hash makes them: https://bun.sh/docs/api/hashing#bun-password
BUN = argon2.PasswordHasher(time_cost=2, memory_cost=65536, parallelism=1)
CONFIG = {
    "hostPort": "127.0.0.1:8080", "containerPort": "3000", "memoryLimit": "768m", "cpuLimit": "0.5",
    "clientMaxBodySize": "50m", "restartPolicy": "unless-stopped", "image": "ghcr.io/acme/web:0005",
}  # fmt: skip


def service(folder: Path, name: str = "web", environment: str | bytes | None = None, **config: Any) -> None:
    """`env/<name>` with a `config.json`; values of None are left out of it."""
    place = folder / "env" / name
    place.mkdir(parents=True)
    values = {key: value for key, value in (CONFIG | config).items() if value is not None}
    (place / "config.json").write_text(json.dumps(values))
    if environment is not None:
        text = environment if isinstance(environment, bytes) else environment.encode()
        (place / ".env").write_bytes(text)


def users(folder: Path, people: Iterable[tuple[str, str, bool]], rights: Iterable[tuple[int, str, str]] = ()) -> Path:
    """`data/users.sqlite` with (name, password, is an admin) and (number of the user, scope, action)."""
    path = folder / "data" / "users.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.executescript("""
            CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, password_hash TEXT, is_admin INTEGER);
            CREATE TABLE permissions (id INTEGER PRIMARY KEY, user_id INTEGER, scope TEXT, action TEXT);
        """)
        for name, password, is_admin in people:
            connection.execute("INSERT INTO users (username, password_hash, is_admin) VALUES (?, ?, ?)",
                               [name, BUN.hash(password), is_admin])  # fmt: skip
        connection.executemany("INSERT INTO permissions (user_id, scope, action) VALUES (?, ?, ?)", rights)
    return path
