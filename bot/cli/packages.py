"""Commands that look at images: those that could be installed, those that a service could run."""

from __future__ import annotations

from typing import Any

import click

from bot.cli.group import Session, o8, pass_session
from bot.cli.output import ago, megabytes

_PAGE = 500  # the API's largest
_MARKS = {"runs": "runs", "is_newest": "newest", "is_newer": "newer", "is_here": "kept here"}


@o8.command("available")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@pass_session
def available(session: Session, limit: int, is_all: bool) -> None:
    """List images that no service uses yet: those that were pushed, and those of your owners at GitHub."""
    found = _read(session, ("packages",), "packages", limit, is_all=is_all)

    def in_words() -> None:
        rows = ([p["image"], p["tag"] or "-", ago(p["pushed_at"]), p["repository"] or "-"] for p in found["packages"])
        nothing = "Nothing to install: every image that o8 knows is used by a service, or dismissed."
        session.output.table(("Image", "Newest tag", "Pushed", "Repository"), rows, nothing=nothing)
        _tell_the_rest(session, found, "packages")

    session.output.show(found, in_words)


@o8.command("versions")
@click.argument("service")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@pass_session
def versions(session: Session, service: str, limit: int, is_all: bool) -> None:
    """List what there is of a service's image, newest first: what runs, what is newer, what is kept on this machine."""
    found = _read(session, ("services", service, "versions"), "versions", limit, is_all=is_all)

    def in_words() -> None:
        session.output.table(("Tags", "Digest", "Pushed", "Size", ""), map(_row, found["versions"]),
                             nothing=f"No version of {found['image']} is known.")  # fmt: skip
        _tell_the_rest(session, found, "versions")

    session.output.show(found, in_words)


def _row(version: dict[str, Any]) -> list[str]:
    tags = [version["tag"], *(tag for tag in version["tags"] if tag != version["tag"])]
    marks = (word for key, word in _MARKS.items() if version[key])
    return [
        ", ".join(filter(None, tags)) or "-", version["digest"].removeprefix("sha256:")[:12] or "-",
        ago(version["pushed_at"]), megabytes(version["bytes"]) if version["bytes"] else "-", ", ".join(marks),
    ]  # fmt: skip


def _read(session: Session, path: tuple[str, ...], key: str, limit: int, *, is_all: bool) -> dict[str, Any]:
    """A page as the API has it; `is_all`: every page as one."""
    size = _PAGE if is_all else limit
    found: dict[str, Any] = session.api.get(*path, limit=size)
    while is_all and found["next"]:
        page = session.api.get(*path, limit=size, before=found["next"])
        found = page | {key: found[key] + page[key]}
    return found


def _tell_the_rest(session: Session, found: dict[str, Any], key: str) -> None:
    more = found["total"] - len(found[key])
    if more > 0:
        session.output.say(f"And {more} more: `--all` shows them.")
    session.output.say(found["note"])
