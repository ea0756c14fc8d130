"""Images that were pushed and that no service uses: what could be installed."""

from __future__ import annotations

from sqlite_utils import Database

from bot.chat import Package
from bot.errors import NotFound
from bot.store.connection import Connection, change, now, question, rows


class Packages(Connection):
    @question
    def packages(self, db: Database) -> tuple[Package, ...]:
        """Those that nobody has installed, the newest push first."""
        query = """SELECT * FROM packages WHERE image NOT IN (SELECT configuration ->> 'image' FROM services)
            ORDER BY last_seen DESC"""
        return tuple(Package.model_validate(row) for row in rows(db, query))

    @question
    def package(self, db: Database, image: str) -> Package:
        found = rows(db, "SELECT * FROM packages WHERE image = ?", [image])
        if not found:
            raise NotFound(f"No package {image!r:.140} was pushed.", "`/o8 available` lists what was.")
        return Package.model_validate(found[0])

    @change
    def dismiss_package(self, db: Database, image: str) -> None:
        """Nobody wants to be asked about it."""
        _set_state(db, image, "dismissed")

    @change
    def package_installed(self, db: Database, image: str) -> None:
        _set_state(db, image, "installed")


def seen(db: Database, image: str, tag: str, digest: str) -> None:
    """Remembers a push that no service uses; the first one of an image wants a card. Inside an open transaction."""
    is_new = not rows(db, "SELECT 1 FROM packages WHERE image = ?", [image])
    statement = """INSERT INTO packages (image, tag, digest, first_seen, last_seen) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (image) DO UPDATE
        SET tag = excluded.tag, digest = excluded.digest, last_seen = excluded.last_seen"""
    db.execute(statement, [image, tag, digest, now(), now()])
    if is_new:
        db.execute("INSERT INTO cards (kind, subject, changed_at) VALUES ('package', ?, ?)", [image, now()])


def _set_state(db: Database, image: str, state: str) -> None:
    if not db.execute("UPDATE packages SET state = ? WHERE image = ?", [state, image]).rowcount:
        return
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = 1, changed_at = ? WHERE kind = 'package' AND subject = ?",
        [now(), image],
    )
