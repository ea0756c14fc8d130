"""What may be returned to: releases, what failed since, and which images of theirs are kept on disk."""

from __future__ import annotations

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
    def pulled(self, db: Database, image: str, digest: str, service: str) -> None:
        """Remembers that o8 itself fetched an image: only such ones are ever removed."""
        db.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", [image, digest, service, now()])

    @question
    def spare_images(self, db: Database, name: str) -> tuple[tuple[str, str], ...]:
        """Images that o8 pulled for a service and that nothing needs: no kept release (of any service), no open
        deployment, no live one, and not the one before it, whose replicas are kept in the other slot.
        """
        users = "SELECT DISTINCT service FROM deployments WHERE image IN (SELECT image FROM images WHERE service = ?)"
        services = select_services(db, f"SELECT * FROM services WHERE name IN ({users})", [name])  # noqa: S608
        kept = {r.digest for service in services for r in releases(db, service)[: service.configuration.keep_releases]}
        live = "SELECT live FROM services"
        in_use = (
            f"SELECT digest FROM deployments WHERE state NOT IN ({ENDED}) OR id IN ({live})"  # noqa: S608
            f" OR id IN (SELECT previous FROM deployments WHERE id IN ({live}))"
        )
        kept |= {row["digest"] for row in rows(db, in_use)}
        found = rows(db, "SELECT image, digest FROM images WHERE service = ?", [name])
        return tuple((row["image"], row["digest"]) for row in found if row["digest"] not in kept)

    @change
    def forget_image(self, db: Database, image: str, digest: str) -> None:
        db.execute("DELETE FROM images WHERE image = ? AND digest = ?", [image, digest])


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
