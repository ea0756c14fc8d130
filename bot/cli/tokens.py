"""Commands on tokens: what programs log in with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from bot.cli.group import Group, Session, o8, pass_session
from bot.cli.output import ago
from bot.cli.parameters import Duration, Right
from bot.cli.people import rights, until


@o8.group("token", cls=Group)
def token() -> None:
    """Tokens let programs use the API."""


@token.command("add")
@click.argument("name")
@click.option("--user", "username", default="", help="For whom it acts; without: for the admin of AUTH_USERNAME.")
@click.option("--right", "wanted", type=Right(), multiple=True, metavar="ACTION:SCOPE",
              help="Only this of their rights, such as deploy:service:web; may be given several times.")  # fmt: skip
@click.option("--for", "duration", type=Duration(), help="How long: 12h, 90d. Without: until it is removed.")
@pass_session
def add(
    session: Session, name: str, username: str, wanted: tuple[dict[str, str], ...], duration: timedelta | None
) -> None:
    """Make a token and print its secret, this once. NAME says what it is for."""
    seconds = int(duration.total_seconds()) if duration is not None else None
    body = {"name": name, "username": username, "rights": list(wanted) or None, "seconds": seconds}
    found = session.api.post("tokens", body=body)

    def in_words() -> None:
        made = found["token"]
        ends = until(made["expires_at"]) or " until it is removed"
        session.output.say(f"Token {made['id']} acts for {made['username']}{ends}: {_rights(made)}. Shown this once:")
        session.output.say(found["secret"])

    session.output.show(found, in_words)


@token.command("list")
@pass_session
def list_tokens(session: Session) -> None:
    """List all tokens, without their secrets."""
    found = session.api.get("tokens")
    heads = ("ID", "Name", "User", "Rights", "Made", "Ends")
    rows = ([t["id"], t["name"], t["username"], _rights(t), ago(t["created_at"]), until(t["expires_at"]).strip() or "-"]
            for t in found)  # fmt: skip
    nothing = "No token yet. `o8 token add NAME` makes one."
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


@token.command("remove")
@click.argument("id", type=click.IntRange(1, 2**63 - 1))
@pass_session
def remove(session: Session, id: int) -> None:
    """Make a token worthless, at once."""
    found = session.api.delete("tokens", id)
    text = f"Token {id} ({found['name']}) of {found['username']} is removed."
    session.output.show(found, lambda: session.output.say(text))


def _rights(token: dict[str, Any]) -> str:
    if token["grants"] is None:
        return "all of their rights"
    return rights(token["grants"]) or "none"
