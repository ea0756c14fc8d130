"""The webhook at GitHub: set up, and why nothing arrives."""

from __future__ import annotations

import click

from bot.cli.group import Group, Session, o8, pass_session
from bot.cli.machine import tell_findings


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
    tell_findings(session, session.api.post("github", "webhook", body=body))


@github.command("check")
@click.argument("owner", default="")
@pass_session
def check(session: Session, owner: str) -> None:
    """Ask GitHub why deliveries do not arrive; ends with code 1 when something is at fault."""
    tell_findings(session, session.api.get("github", "webhook", owner=owner))
