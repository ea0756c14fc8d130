"""Images that were pushed and that no service uses: what could be installed."""

from __future__ import annotations

from sqlite_utils import Database

from bot.chat import Package
from bot.errors import NotFound
from bot.store.connection import Connection, change, now, question, rows

_USED = "SELECT configuration ->> 'image' FROM services"
# A push that a webhook told of is known to the moment. What GitHub says of itself may be no time at all.
_PACKAGES = """SELECT p.*, coalesce(c.repository, '') AS repository, coalesce(
        (SELECT v.created_at FROM catalogue_versions AS v WHERE v.image = p.image AND v.digest = p.digest),
        CASE WHEN p.state = 'listed' AND p.last_seen = p.first_seen
            THEN strftime('%Y-%m-%dT%H:%M:%SZ', c.updated_at) ELSE p.last_seen END) AS pushed_at
    FROM packages AS p LEFT JOIN catalogue AS c USING (image)"""


class Packages(Connection):
    @question
    def packages(self, db: Database) -> tuple[Package, ...]:
        """Those that nobody has installed, the newest push first."""
        return _packages(db, f"image NOT IN ({_USED})")

    @question
    def available(self, db: Database) -> tuple[Package, ...]:
        """What could be installed, pushed or listed at GitHub; without what was dismissed. The newest push first."""
        return _packages(db, f"state != 'dismissed' AND image NOT IN ({_USED})")

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


def _packages(db: Database, which: str) -> tuple[Package, ...]:
    found = [Package.model_validate(row) for row in rows(db, f"{_PACKAGES} WHERE {which}")]
    return tuple(
        sorted(found, key=lambda package: (package.pushed_at or package.first_seen, package.image), reverse=True)
    )


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
