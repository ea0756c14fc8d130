"""What can be pulled: packages of GitHub's owners and their tagged versions, as last read there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import Field
from sqlite_utils import Database

from bot.models import Model
from bot.store.connection import Connection, change, now, question, rows
from bot.store.packages import gone


class Listed(Model):
    """A package at GitHub. `versions` is how many it has there, tagged or not."""

    image: str
    owner: str
    kind: str
    name: str
    repository: str
    updated_at: str
    versions: int
    seen_at: datetime | None = Field(None, description="when its versions were read")


class ListedVersion(Model):
    """A version with tags; `created_at` is when it was pushed."""

    image: str
    id: int
    digest: str
    tags: tuple[str, ...]
    created_at: datetime | None = None


class KnownPage(NamedTuple):
    """A page of GitHub's API as it was: when it is still the same (304), so are its images and the page after it."""

    etag: str
    images: tuple[str, ...]
    next_page: str


class Catalogue(Connection):
    @question
    def known_page(self, db: Database, url: str) -> KnownPage | None:
        found = rows(db, "SELECT etag, images, next_page FROM github_pages WHERE url = ?", [url])
        return (
            KnownPage(found[0]["etag"], tuple(orjson.loads(found[0]["images"])), found[0]["next_page"])
            if found
            else None
        )

    @question
    def listed(self, db: Database, owner: str = "") -> dict[str, Listed]:
        """Packages by image; of one owner, or all."""
        found = rows(db, "SELECT * FROM catalogue WHERE ? IN ('', owner) ORDER BY image", [owner.lower()])
        return {row["image"]: Listed.model_validate(row) for row in found}

    @question
    def listed_versions(self, db: Database, image: str) -> tuple[ListedVersion, ...]:
        """The newest push first."""
        found = rows(db, "SELECT * FROM catalogue_versions WHERE image = ? ORDER BY created_at DESC, id DESC", [image])
        return tuple(ListedVersion.model_validate(row | {"tags": orjson.loads(row["tags"])}) for row in found)

    @question
    def tags_of(self, db: Database, images: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
        """All tags of each image and digest that the catalogue has."""
        query = """SELECT v.image, v.digest, v.tags FROM json_each(?) AS asked
            JOIN catalogue_versions AS v ON v.image = asked.value ->> 0 AND v.digest = asked.value ->> 1"""
        found = rows(db, query, [orjson.dumps(images).decode()])
        return {(row["image"], row["digest"]): tuple(orjson.loads(row["tags"])) for row in found}

    @change
    def keep_page(self, db: Database, url: str, page: KnownPage) -> None:
        """To be asked for by its etag next time."""
        statement = "INSERT OR REPLACE INTO github_pages VALUES (?, ?, ?, ?)"
        db.execute(statement, [url, page.etag, orjson.dumps(page.images).decode(), page.next_page])

    @change
    def forget_page(self, db: Database, url: str) -> None:
        db.execute("DELETE FROM github_pages WHERE url = ?", [url])

    @change
    def list_again(self, db: Database, package: Listed) -> None:
        """A package whose versions are as they were."""
        _list(db, package)

    @change
    def list_package(self, db: Database, package: Listed, versions: Sequence[ListedVersion], tag: str,
                     digest: str) -> None:  # fmt: skip
        """A package with its newest versions; `tag` and `digest` are of the one that would be installed.

        One that nobody uses becomes known as available, without a card: it was not pushed just now.
        """
        _list(db, package)
        db.execute("DELETE FROM catalogue_versions WHERE image = ?", [package.image])
        for version in versions:
            _add(db, version)
        if not tag:  # nothing that could be installed
            db.execute("DELETE FROM packages WHERE image = ? AND state = 'listed'", [package.image])
            return
        statement = """INSERT INTO packages (image, tag, digest, state, first_seen, last_seen)
            VALUES (?, ?, ?, 'listed', ?, ?)
            ON CONFLICT (image) DO UPDATE SET tag = excluded.tag, digest = excluded.digest,
                state = CASE WHEN state = 'removed' THEN 'listed' ELSE state END
            WHERE state != 'installing' -- of a push that may be newer than GitHub's list"""
        db.execute(statement, [package.image, tag, digest, now(), now()])

    @change
    def unlist(self, db: Database, owner: str, kept: Sequence[str]) -> None:
        """Forgets packages of `owner` that GitHub lists no more."""
        names = orjson.dumps(list(kept)).decode()
        gone = "SELECT image FROM catalogue WHERE owner = ? AND image NOT IN (SELECT value FROM json_each(?))"
        for row in rows(db, gone, [owner.lower(), names]):
            _forget(db, row["image"])

    @change
    def keep_owners(self, db: Database, owners: Sequence[str]) -> None:
        """Forgets packages of all others: they are looked at no more."""
        names = orjson.dumps([owner.lower() for owner in owners]).decode()
        gone = "SELECT image FROM catalogue WHERE owner NOT IN (SELECT value FROM json_each(?))"
        for row in rows(db, gone, [names]):
            _forget(db, row["image"])


def _list(db: Database, package: Listed) -> None:
    row = package.model_dump() | {"owner": package.owner.lower(), "seen_at": now()}
    columns, marks = ", ".join(row), ", ".join("?" for _ in row)
    db.execute(f"INSERT OR REPLACE INTO catalogue ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608


def _forget(db: Database, image: str) -> None:
    for table in ("catalogue", "catalogue_versions"):
        db.execute(f"DELETE FROM {table} WHERE image = ?", [image])  # noqa: S608
    gone(db, image)
    db.execute("DELETE FROM github_pages WHERE url = 'versions/' || ?", [image])


def _add(db: Database, version: ListedVersion) -> None:
    row: dict[str, Any] = version.model_dump(mode="json") | {"tags": orjson.dumps(version.tags).decode()}
    columns, marks = ", ".join(row), ", ".join("?" for _ in row)
    db.execute(f"INSERT INTO catalogue_versions ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608
