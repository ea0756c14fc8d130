"""Commands on the whole: run it, see how it is, read logs, deliveries and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bot.cli.group import Exit, Group, Session, o8, pass_session
from bot.cli.output import ago, megabytes
from bot.cli.parameters import Duration

_MARKS = {"ok": "ok", "warning": "WARNING", "fault": "FAULT"}


@o8.command("serve", cls=click.Command)
@click.option("-v", "--verbose", is_flag=True, help="Log every small thing.")
@pass_session
def serve(session: Session, verbose: bool) -> None:
    """Run o8 until SIGTERM or Ctrl-C; logs go to stderr."""
    session.serve(session.environ, verbose)


@o8.command("status")
@pass_session
def status(session: Session) -> None:
    """Show every service in short."""
    found = session.api.get("status")
    heads = ("Service", "State", "Release", "Since", "Last deployment", "Note")
    rows = ([s["service"], s["state"], s["release"] or "-", ago(s["since"]), _last(s), _note(s)] for s in found)
    nothing = "No services yet. `o8 service apply FILE.toml` adds one."
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


@o8.command("logs")
@click.argument("service")
@click.option("-f", "--follow", is_flag=True, help="Go on with lines to come.")
@click.option("-n", "--tail", type=click.IntRange(0, 100_000), default=100, show_default=True, help="Last lines.")
@click.option("--since", type=Duration(), help="Only lines younger than this: 90s, 10m, 2h.")
@click.option("-t", "--timestamps", is_flag=True, help="Each line with its time.")
@pass_session
def logs(session: Session, service: str, follow: bool, tail: int, since: timedelta | None, timestamps: bool) -> None:
    """Print what a service's containers wrote, secrets masked."""
    start = (datetime.now(UTC) - since).isoformat() if since else None
    lines = session.api.stream(
        "services", service, "logs", tail=tail, since=start, follow=follow, timestamps=timestamps
    )
    for line in lines:
        session.output.line(line)


@o8.command("deliveries")
@click.argument("id", default="")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@pass_session
def deliveries(session: Session, id: str, limit: int) -> None:
    """List webhooks as received, newest first, and why o8 ignored some; or only the one with ID."""
    found = session.api.get("deliveries", id) if id else session.api.get("deliveries", limit=limit)
    heads = ("ID", "Event", "Received", "Verdict", "Image", "Tag", "For", "Ignored")
    rows = ([d["id"], d["event"], ago(d["received_at"]), d["verdict"], d["image"], d["tag"],
             " ".join(d["accepted"]), "; ".join(d["ignored"])] for d in ([found] if id else found))  # fmt: skip
    nothing = "No delivery yet. docs/github.md says how to set the webhook up."
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


@o8.command("doctor")
@pass_session
def doctor(session: Session) -> None:
    """Check everything o8 needs; ends with code 1 when something is at fault."""
    tell_findings(session, session.api.get("doctor"))


def tell_findings(session: Session, found: Sequence[dict[str, Any]]) -> None:
    """Each with what to do next. Raises `Exit` with code 1 when something is at fault."""

    def in_words() -> None:
        for finding in found:
            session.output.say(f"{_MARKS[finding['state']]:<8}{finding['subject']}: {finding['message']}")
            if finding["state"] != "ok" and finding["next_step"]:
                session.output.say(f"        -> {finding['next_step']}")

    session.output.show(found, in_words)
    if any(finding["state"] == "fault" for finding in found):
        raise click.exceptions.Exit(Exit.FAILED)


@o8.command("prune")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@pass_session
def prune(session: Session, dry_run: bool) -> None:
    """Remove images that o8 pulled and that no release needs."""
    found = session.api.post("prune", dry_run=dry_run)
    number = len(found["images"])

    def in_words() -> None:
        rows = ([each["image"], each["digest"], megabytes(each["bytes"])] for each in found["images"])
        session.output.table(("Image", "Digest", "Size"), rows, nothing="No image is spare.")
        if number:
            what = f"{number} image{'' if number == 1 else 's'} {'would be' if dry_run else 'were'} removed"
            session.output.say(f"{what}, at most {megabytes(found['bytes'])}; layers that others use stay.")

    session.output.show(found, in_words)


@o8.group("audit", cls=Group)
def audit() -> None:
    """Who did what."""


@audit.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@pass_session
def audit_list(session: Session, limit: int) -> None:
    """List what was done, newest first."""
    found = session.api.get("audit", limit=limit)
    heads = ("ID", "When", "Who", "Did", "To", "Detail")
    rows = ([e["id"], ago(e["at"]), e["actor"], e["action"], e["subject"], e["detail"] or ""] for e in found)
    session.output.show(found, lambda: session.output.table(heads, rows, nothing="Nobody has done anything yet."))


@audit.command("verify")
@pass_session
def audit_verify(session: Session) -> None:
    """Check that nobody has edited the audit; ends with code 1 when somebody has."""
    found = session.api.get("audit", "verification")
    text = "The audit is whole." if found["is_whole"] else f"The audit was edited at entry {found['broken_from']}."
    session.output.show(found, lambda: session.output.say(text))
    if not found["is_whole"]:
        raise click.exceptions.Exit(Exit.FAILED)


def _last(status: dict[str, Any]) -> str:
    last = status["last_deployment"]
    return f"{last['id']} {last['state']}, {ago(last['created_at'])}" if last else "-"


def _note(status: dict[str, Any]) -> str:
    notes = [f"{word}: {status[word]['reason']}" for word in ("hold", "lock") if status[word]]
    return "; ".join(notes)
