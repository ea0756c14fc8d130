"""What may be returned to: releases, what failed since, and which images of theirs are kept on disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
from sqlite_utils import Database

from bot.models import Deployment, Kind, Service, State
from bot.store.connection import Connection, change, now, question, rows
from bot.store.history import ENDED, select_deployments
from bot.store.services import find_service, select_services


class Releases(Connection):
    @question
    def releases(self, db: Database, service: str) -> tuple[Deployment, ...]:
        """What rollback chooses from, newest first; an image and configuration that came twice is there once."""
        return releases(db, find_service(db, service))

    @question
    def failed_attempts(self, db: Database, service: str) -> frozenset[tuple[str, str]]:
        return failed_attempts(db, service)

    @change
    def pulled(self, db: Database, image: str, digest: str, service: str, *, is_new: bool = True) -> None:
        """Remembers that o8 itself fetches an image, for a service or (empty) by hand: only such ones are ever removed.

        `is_new` False: it is here already, and stays other people's unless o8 fetched it before.
        """
        known = rows(db, "SELECT 1 FROM images WHERE image = ? AND digest = ?", [image, digest])
        if is_new or known:
            statement = """INSERT INTO images (image, digest, service, pulled_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (image, digest, service) DO UPDATE SET pulled_at = excluded.pulled_at"""
            db.execute(statement, [image, digest, service, now()])

    @question
    def images_had(self, db: Database, image: str) -> frozenset[str]:
        """Digests of `image` that o8 fetched, or that serve: what should be on this machine."""
        query = """SELECT digest FROM images WHERE image = ? UNION SELECT deployments.digest
            FROM services JOIN deployments ON deployments.id = services.live WHERE deployments.image = ?"""
        return frozenset(row["digest"] for row in rows(db, query, [image, image]) if row["digest"])

    @question
    def spare_images(self, db: Database, name: str | None, by_hand: timedelta) -> tuple[tuple[str, str], ...]:
        """Images that o8 pulled (for service `name`; None: for all, and by hand) and that nothing needs.

        Needed are: the kept releases of every service, open deployments and their targets, what serves, and what served
        before it, whose replicas are kept in the other slot; what was pulled by hand until it is older than `by_hand`.
        """
        query = "SELECT DISTINCT image, digest FROM images WHERE ? IS NULL OR service = ?"
        return _spare(db, [(row["image"], row["digest"]) for row in rows(db, query, [name, name])], by_hand)

    @question
    def is_spare(self, db: Database, image: str, digest: str, by_hand: timedelta) -> bool:
        """Whether nothing needs this one (any more)."""
        return bool(_spare(db, [(image, digest)], by_hand))

    @change
    def forget_image(self, db: Database, image: str, digest: str) -> None:
        db.execute("DELETE FROM images WHERE image = ? AND digest = ?", [image, digest])


def _spare(db: Database, images: list[tuple[str, str]], by_hand: timedelta) -> tuple[tuple[str, str], ...]:
    live, opened = "SELECT live FROM services", f"state NOT IN ({ENDED})"
    needed = f"""SELECT digest FROM deployments WHERE {opened} OR id IN ({live})
            OR id IN (SELECT target FROM deployments WHERE {opened})
            OR id IN (SELECT previous FROM deployments WHERE id IN ({live}))
        UNION SELECT digest FROM images WHERE service = '' AND pulled_at > ?"""  # noqa: S608
    since = (datetime.now(UTC) - by_hand).isoformat(timespec="milliseconds")
    kept = {row["digest"] for row in rows(db, needed, [since])}
    images = [(image, digest) for image, digest in images if digest not in kept]
    digests = [digest for _, digest in images]
    query = """SELECT * FROM services WHERE name IN (
        SELECT service FROM deployments WHERE digest IN (SELECT value FROM json_each(?)))"""
    for service in select_services(db, query, [orjson.dumps(digests).decode()]):
        kept |= {release.digest for release in releases(db, service)[: service.configuration.keep_releases]}
    return tuple((image, digest) for image, digest in images if digest not in kept)


def releases(db: Database, service: Service) -> tuple[Deployment, ...]:
    query = (
        "SELECT * FROM deployments WHERE service = ? AND state = ? AND kind <> ? AND created_at >= ? ORDER BY id DESC"
    )
    since = service.created_at.isoformat(timespec="milliseconds")
    distinct: dict[tuple[str, str, str, int], Deployment] = {}
    for release in select_deployments(db, query, [service.name, State.SUCCEEDED, Kind.ROLLBACK, since]):
        distinct.setdefault(release.identity, release)
    return tuple(distinct.values())


def failed_attempts(db: Database, service: str) -> frozenset[tuple[str, str]]:
    """Tag and digest of what failed, was rolled back or cancelled, and has not succeeded since: not tried again by
    itself. A right that was missing says nothing about the release.
    """
    query = f"""SELECT tag, digest, state FROM deployments
        WHERE service = ? AND state IN ({ENDED}) AND error_code <> 'forbidden' ORDER BY id"""  # noqa: S608
    failed: set[tuple[str, str]] = set()
    for row in rows(db, query, [service]):
        attempt = (row["tag"], row["digest"])
        if row["state"] in (State.FAILED, State.ROLLED_BACK, State.CANCELLED):
            failed.add(attempt)
        elif row["state"] == State.SUCCEEDED:
            failed.discard(attempt)
    return frozenset(failed)
