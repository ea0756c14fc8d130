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
        return _packages(db, f"state != 'removed' AND image NOT IN ({_USED})")

    @question
    def available(self, db: Database) -> tuple[Package, ...]:
        """What could be installed, pushed or listed at GitHub; without what was dismissed. The newest push first."""
        return _packages(db, f"state NOT IN ('dismissed', 'removed') AND image NOT IN ({_USED})")

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
    def offer_package(self, db: Database, image: str, note: str) -> None:
        """It does not become a service by itself; `note` says why. Nothing when somebody has decided meanwhile."""
        if rows(db, "SELECT 1 FROM packages WHERE image = ? AND state = 'installing'", [image]):
            _set_state(db, image, "offered", note=note)

    @change
    def package_installed(self, db: Database, image: str, service: str) -> None:
        _set_state(db, image, "installed", service=service)

    @question
    def arrivals(self, db: Database) -> tuple[Package, ...]:
        """Those that are to become services by themselves, the first one first."""
        query = "SELECT * FROM packages WHERE state = 'installing' ORDER BY last_seen"
        return tuple(Package.model_validate(row) for row in rows(db, query))

    @question
    def known_images(self, db: Database) -> tuple[str, ...]:
        """Every image that was pushed, that GitHub lists, or that a service uses."""
        query = f"SELECT image FROM packages UNION SELECT image FROM catalogue UNION {_USED}"  # noqa: S608
        return tuple(sorted(row["image"] for row in rows(db, query)))


def _packages(db: Database, which: str) -> tuple[Package, ...]:
    found = [Package.model_validate(row) for row in rows(db, f"{_PACKAGES} WHERE {which}")]
    return tuple(
        sorted(found, key=lambda package: (package.pushed_at or package.first_seen, package.image), reverse=True)
    )


def seen(db: Database, image: str, tag: str, digest: str, delivery: str = "", commit: str = "") -> bool:
    """Remembers a push that no service uses; the first one of an image wants a card. Inside an open transaction.

    With a `delivery` it is to become a service by itself, unless somebody has decided about it: it was dismissed, or it
    ran and was removed. True when so.
    """
    found = rows(db, "SELECT state FROM packages WHERE image = ?", [image])
    before = after = found[0]["state"] if found and found[0]["state"] != "removed" else "listed"
    if delivery and before in ("listed", "offered") and not _ran(db, image):
        after = "installing"
    elif before == "listed":
        after = "offered"
    statement = """INSERT INTO packages (image, tag, digest, state, delivery, "commit", first_seen, last_seen)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (image) DO UPDATE SET tag = excluded.tag, digest = excluded.digest, state = excluded.state,
            delivery = excluded.delivery, "commit" = excluded."commit", last_seen = excluded.last_seen"""
    db.execute(statement, [image, tag, digest, after, delivery, commit, now(), now()])
    if before != after:
        statement = """INSERT INTO cards (kind, subject, changed_at) VALUES ('package', ?, ?)
            ON CONFLICT (kind, subject) DO UPDATE
            SET wanted = wanted + 1, is_final = 0, changed_at = excluded.changed_at"""
        db.execute(statement, [image, now()])
    return after == "installing"


def gone(db: Database, image: str) -> None:
    """GitHub has it no more. What somebody has dismissed stays dismissed, should it come back."""
    db.execute("DELETE FROM packages WHERE image = ? AND state = 'listed'", [image])
    # Its card says what somebody made of it; that stays true.
    db.execute("UPDATE packages SET state = 'removed' WHERE image = ? AND state = 'installed'", [image])
    if rows(db, "SELECT 1 FROM packages WHERE image = ? AND state IN ('offered', 'installing')", [image]):
        _set_state(db, image, "removed")


def _ran(db: Database, image: str) -> bool:
    return bool(rows(db, "SELECT 1 FROM deployments WHERE image = ? LIMIT 1", [image]))


def _set_state(db: Database, image: str, state: str, *, service: str = "", note: str = "") -> None:
    statement = "UPDATE packages SET state = ?, service = ?, note = ? WHERE image = ?"
    if not db.execute(statement, [state, service, note, image]).rowcount:
        return
    db.execute(
        "UPDATE cards SET wanted = wanted + 1, is_final = ?, changed_at = ? WHERE kind = 'package' AND subject = ?",
        [state != "offered", now(), image],
    )
