"""The schema, as ordered steps. To change it: add a function at the end; never edit one that was released."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

schema = Migrations("orchestr8")


@schema()
def m0001_first(db: Database) -> None:
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """CREATE TABLE services (
            name TEXT PRIMARY KEY, configuration TEXT NOT NULL, block INTEGER NOT NULL UNIQUE,
            environment_revision INTEGER NOT NULL DEFAULT 0, hold TEXT, lock TEXT,
            is_stopped INTEGER NOT NULL DEFAULT 0, live INTEGER REFERENCES deployments (id),
            created_at TEXT NOT NULL)""",
        """CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
            actor TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', image TEXT NOT NULL, tag TEXT NOT NULL DEFAULT '',
            digest TEXT NOT NULL DEFAULT '', "commit" TEXT NOT NULL DEFAULT '', delivery TEXT NOT NULL DEFAULT '',
            is_automatic INTEGER NOT NULL DEFAULT 0,
            target INTEGER REFERENCES deployments (id), configuration TEXT NOT NULL,
            environment_revision INTEGER NOT NULL DEFAULT 0, slot TEXT, previous INTEGER REFERENCES deployments (id),
            attempts INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, started_at TEXT, switched_at TEXT,
            finished_at TEXT, error_code TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
            next_step TEXT NOT NULL DEFAULT '', log TEXT NOT NULL DEFAULT '', exit_code INTEGER)""",
        "CREATE INDEX deployments_of_service ON deployments (service, id)",
        "CREATE INDEX deployments_by_state ON deployments (state)",
        """CREATE TABLE steps (
            id INTEGER PRIMARY KEY, deployment INTEGER NOT NULL REFERENCES deployments (id), state TEXT NOT NULL,
            started_at TEXT NOT NULL, ended_at TEXT, detail TEXT NOT NULL DEFAULT '{}')""",
        "CREATE INDEX steps_of_deployment ON steps (deployment)",
        """CREATE TABLE deliveries (
            id TEXT PRIMARY KEY, event TEXT NOT NULL, received_at TEXT NOT NULL, body BLOB, body_digest TEXT NOT NULL,
            verdict TEXT NOT NULL, accepted TEXT NOT NULL, ignored TEXT NOT NULL, image TEXT NOT NULL DEFAULT '',
            tag TEXT NOT NULL DEFAULT '', processed_at TEXT, duplicates INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX deliveries_by_digest ON deliveries (body_digest)",
        "CREATE INDEX deliveries_by_time ON deliveries (received_at)",
        """CREATE TABLE environments (
            service TEXT NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL, names TEXT NOT NULL,
            actor TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (service, revision))""",
        """CREATE TABLE images (
            image TEXT NOT NULL, digest TEXT NOT NULL, service TEXT NOT NULL, pulled_at TEXT NOT NULL,
            PRIMARY KEY (image, digest, service))""",
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
            detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    ):
        db.execute(statement)
