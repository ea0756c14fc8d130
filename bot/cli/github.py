"""The webhook at GitHub: set up, and why nothing arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bot.cli.group import Exit, Group, Session, o8, pass_session

_MARKS = {"ok": "ok", "warning": "WARNING", "fault": "FAULT"}


@o8.group("github", cls=Group)
def github() -> None:
    """Set the webhook at GitHub up, and see why nothing arrives."""


@github.command("setup")
@click.argument("owner")
@click.option("--repo", "repository", default="", help="Of this repository instead of all of OWNER's packages.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@pass_session
def setup(session: Session, owner: str, repository: str, dry_run: bool) -> None:
    """Make or mend the webhook of OWNER (or OWNER/REPO), and wait for its ping. Can be repeated."""
    if not repository:
        owner, _, repository = owner.partition("/")
    body = {"owner": owner, "repository": repository.removeprefix(f"{owner}/"), "dry_run": dry_run}
    _tell(session, session.api.post("github", "webhook", body=body))


@github.command("check")
@click.argument("owner", default="")
@pass_session
def check(session: Session, owner: str) -> None:
    """Ask GitHub why deliveries do not arrive; ends with code 1 when something is at fault."""
    _tell(session, session.api.get("github", "webhook", owner=owner))


def _tell(session: Session, found: Sequence[dict[str, Any]]) -> None:
    def in_words() -> None:
        for finding in found:
            session.output.say(f"{_MARKS[finding['state']]:<8}{finding['subject']}: {finding['message']}")
            if finding["state"] != "ok" and finding["next_step"]:
                session.output.say(f"        -> {finding['next_step']}")

    session.output.show(found, in_words)
    if any(finding["state"] == "fault" for finding in found):
        raise click.exceptions.Exit(Exit.FAILED)
