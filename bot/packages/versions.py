"""What there is of a service's image, in the order and with the marks that people need to choose. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import Field

from bot import tags
from bot.configuration import Follow
from bot.models import Model


class Known(NamedTuple):
    """An image as its source tells of it; the digest is empty where it does not say."""

    tags: tuple[str, ...]
    digest: str = ""
    pushed_at: datetime | None = None


class Fact(NamedTuple):
    """Which image a tag was when o8 looked."""

    tag: str
    digest: str


class Version(Model):
    """One image of a service. Empty or null is what nobody has said."""

    tag: str = Field(description="what people call it: the newest of its tags that is followed, else its first")
    tags: tuple[str, ...]
    digest: str
    pushed_at: datetime | None
    bytes: int | None = Field(None, description="its size on this machine, when it is here")
    runs: bool = Field(description="it is what serves")
    is_newest: bool = Field(description="the newest by the service's policy")
    is_newer: bool = Field(description="may replace by itself what serves")
    is_here: bool = Field(False, description="kept on this machine")

    @property
    def name(self) -> str:
        """The tag; the short digest of an image whose tag is another one by now."""
        return self.tag or self.short_digest

    @property
    def reference(self) -> str:
        """What `deploy` takes."""
        return self.tag or self.digest

    @property
    def short_digest(self) -> str:
        return self.digest.removeprefix("sha256:")[:12]

    @property
    def marks(self) -> tuple[str, ...]:
        """In words."""
        words = {"runs": self.runs, "newest": self.is_newest, "newer": self.is_newer, "kept here": self.is_here}
        return tuple(word for word, is_so in words.items() if is_so)


def arranged(
    known: Iterable[Known], follow: Follow, live: Fact | None, newest: Fact | None, *, is_serving: bool,
    is_in_order: bool,
) -> tuple[Version, ...]:  # fmt: skip
    """`known`, the newest first, with what o8 itself knows of the `live` release and of the `newest` tag put in.

    `is_in_order`: `known` is ordered by pushes, so that also a policy that only knows those can be answered.
    """
    rows = list(known)
    if newest is not None and not tags.follows(follow, newest.tag):  # looked up before the policy was changed
        newest = None
    if newest is not None:
        rows = _with(rows, newest, follow, default=0)
    if live is not None:
        is_moved = newest is not None and newest.tag == live.tag and newest.digest != live.digest
        rows = _with(rows, live if not is_moved else Fact("", live.digest), follow, default=len(rows), moves=False)
    by_push = [tag for row in reversed(rows) for tag in row.tags]
    best = tags.newest(follow, by_push)
    if not is_in_order and follow.policy == "regex":
        best = newest.tag if newest else None
    names = {best} - {None}
    serving = next((row for row in rows if live is not None and row.digest == live.digest), None)
    return tuple(
        Version(
            tag=tags.newest(follow, row.tags[::-1]) or next(iter(row.tags), ""), tags=row.tags, digest=row.digest,
            pushed_at=row.pushed_at, runs=is_serving and row is serving, is_newest=not names.isdisjoint(row.tags),
            is_newer=_is_newer(row, follow, live, serving, best),
        )
        for row in rows
        if row.tags or row is serving  # the tag of another one has moved on
    )  # fmt: skip


def _with(rows: Sequence[Known], fact: Fact, follow: Follow, default: int, *, moves: bool = True) -> list[Known]:
    """`rows`, one of which is that image. `moves`: the tag is this image now, whatever the source said before."""
    same = next((n for n, row in enumerate(rows) if row.digest == fact.digest), None)
    if same is None:  # a source without digests
        same = next((n for n, row in enumerate(rows) if not row.digest and fact.tag in row.tags), None)
    elsewhere = any(fact.tag in row.tags for n, row in enumerate(rows) if n != same)
    own = (fact.tag,) if fact.tag and (moves or not elsewhere) else ()
    found = [row._replace(tags=tuple(t for t in row.tags if t not in own)) if n != same else row
             for n, row in enumerate(rows)]  # fmt: skip
    if same is not None:
        row = found[same]
        found[same] = row._replace(tags=tuple(dict.fromkeys((*row.tags, *own))), digest=fact.digest)
    else:
        found.insert(_place(found, fact.tag, follow, default), Known(own, fact.digest))
    return found


def _place(rows: Sequence[Known], tag: str, follow: Follow, default: int) -> int:
    """Before the first one that is older."""
    if not tags.can_compare(follow, tag):
        return default
    older = (n for n, row in enumerate(rows)
             if any(tags.can_compare(follow, t) and tags.is_newer(follow, tag, t) for t in row.tags))  # fmt: skip
    return next(older, len(rows))


def _is_newer(row: Known, follow: Follow, live: Fact | None, serving: Known | None, best: str | None) -> bool:
    if row is serving:
        return False
    tag = live.tag if live else ""
    if not any(tags.is_newer(follow, each, tag) for each in row.tags):
        return False
    if live is None or tags.can_compare(follow, tag):
        return True
    if row.pushed_at and serving and serving.pushed_at:
        return row.pushed_at > serving.pushed_at
    return best in row.tags
