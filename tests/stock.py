"""A catalogue as GitHub would fill it: packages with versions, without asking anybody."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bot.store.catalogue import Listed, ListedVersion
from tests.small_house import House

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def digest_of(image: str, tag: str) -> str:
    return "sha256:" + hashlib.sha256(f"{image} {tag}".encode()).hexdigest()


async def listed(
    house: House, image: str, *versions: Sequence[str], pushed_at: datetime = NOON, repository: str = "acme/site",
    digests: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """`versions`: the tags of each, the oldest first, a minute apart; the last one was pushed at `pushed_at`.

    `digests` has those that are another one than `digest_of` says, by a version's first tag.
    """
    _, owner, name = image.split("/", 2)
    own = digests or {}
    found = [
        ListedVersion(
            image=image, id=number, tags=tuple(tags), digest=own.get(tags[0]) or digest_of(image, tags[0]),
            created_at=pushed_at - timedelta(minutes=len(versions) - number),
        )
        for number, tags in enumerate(versions, 1)
    ]  # fmt: skip
    package = Listed(
        image=image, owner=owner, kind="orgs", name=name, repository=repository, updated_at="2026-03-01T12:00:00Z",
        versions=len(found),
    )  # fmt: skip
    newest = found[-1]
    await house.services.store.list_package(package, found[::-1], newest.tags[0], newest.digest)


async def many(house: House, count: int, owner: str = "acme") -> list[str]:
    """So many packages that nobody uses, each pushed a minute after the one before; their images, the newest first."""
    images = [f"ghcr.io/{owner}/package-{number:03}" for number in range(count)]
    for number, image in enumerate(images):
        await listed(house, image, ("0001",), pushed_at=NOON + timedelta(minutes=number))
    return images[::-1]
