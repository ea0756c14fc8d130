"""Commands on people: users, rights, and the Slack accounts that speak for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from bot.cli.group import Group, Session, o8, pass_session
from bot.cli.output import ago
from bot.cli.parameters import Duration, from_stdin, secret
from bot.errors import InvalidInput
from bot.permissions import Action

ACTION = click.Choice([action.value for action in Action])


@o8.group("user", cls=Group)
def user() -> None:
    """Who may do what."""


@user.command("list")
@pass_session
def list_users(session: Session) -> None:
    """List all users with their rights."""
    found = session.api.get("users")
    heads = ("User", "Rights", "Slack", "GitHub", "Password", "Since")
    rows = ([u["username"], rights(u["grants"]), " ".join(u["slack"]), " ".join(u["github"]),
             "yes" if u["has_password"] else "-", ago(u["created_at"])] for u in found)  # fmt: skip
    nothing = "No user yet. `o8 slack code` makes the first admin."
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


@user.command("add")
@click.argument("username")
@click.option("--password", "how", flag_value="asked", help="With one for API and dashboard; asked without echo.")
@click.option("--password-stdin", "how", flag_value="stdin", help="With one that stdin holds.")
@pass_session
def add(session: Session, username: str, how: str | None) -> None:
    """Add somebody, without any right yet; without a password they use o8 from Slack only."""
    word = ""
    if how:
        word = secret(f"Password of {username}") if how == "asked" else from_stdin()
        if not word:  # else the API would take it for "without one"
            raise InvalidInput("The password is empty.", "Stdin holds it, when no terminal asks for it.")
    found = session.api.post("users", body={"username": username, "password": word})
    session.output.show(found, lambda: session.output.say(f"{username} is added; `o8 user grant` gives rights."))


@user.command("password")
@click.argument("username")
@pass_session
def password(session: Session, username: str) -> None:
    """Set somebody's password, asked without echo or read from stdin; logs them out of all browsers."""
    found = session.api.put("users", username, "password", body={"password": secret(f"New password of {username}")})
    session.output.show(found, lambda: session.output.say(f"{username} has a new password."))


@user.command("remove")
@click.argument("username")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, username: str, yes: bool) -> None:
    """Remove somebody with all their rights. Asks first."""
    if not yes:
        click.confirm(f"Remove {username}?", abort=True)
    found = session.api.delete("users", username)
    session.output.show(found, lambda: session.output.say(f"{username} is removed."))


@user.command("grant")
@click.argument("username")
@click.argument("action", type=ACTION, metavar="ACTION")
@click.argument("scope")
@click.option("--for", "duration", type=Duration(), help="How long: 90m, 8h, 2d. Without: for ever.")
@pass_session
def grant(session: Session, username: str, action: str, scope: str, duration: timedelta | None) -> None:
    """Give a right in a scope: `global`, or `service:NAME`."""
    seconds = int(duration.total_seconds()) if duration is not None else None
    found = session.api.post("users", username, "grants", body={"action": action, "scope": scope, "seconds": seconds})
    session.output.show(found, lambda: session.output.say(f"{username}: {rights(found['grants'])}."))


@user.command("revoke")
@click.argument("username")
@click.argument("action", type=ACTION, metavar="ACTION")
@click.argument("scope")
@pass_session
def revoke(session: Session, username: str, action: str, scope: str) -> None:
    """Take a right away."""
    found = session.api.delete("users", username, "grants", action=action, scope=scope)
    session.output.show(found, lambda: session.output.say(f"{username}: {rights(found['grants']) or 'no right'}."))


@user.command("link-github")
@click.argument("username")
@click.argument("login")
@pass_session
def link_github(session: Session, username: str, login: str) -> None:
    """Say whose a login at GitHub is, so that cards in Slack name them; it gives no rights."""
    found = session.api.post("github", "links", body={"login": login, "username": username})
    session.output.show(found, lambda: session.output.say(f"{login} at GitHub is {username}."))


@user.command("unlink-github")
@click.argument("login")
@pass_session
def unlink_github(session: Session, login: str) -> None:
    """Take a login at GitHub from whose it was."""
    found = session.api.delete("github", "links", login)
    session.output.show(found, lambda: session.output.say(f"{login} at GitHub is {found['username']}'s no more."))


@o8.group("slack", cls=Group)
def slack() -> None:
    """People of Slack."""


@slack.command("code")
@pass_session
def code(session: Session) -> None:
    """Print a code that makes its sender in Slack the admin of everything: once, within 30 minutes."""
    found = session.api.post("slack", "code")
    session.output.show(found, lambda: session.output.say(f"In Slack: /o8 hello {found['code']}"))


@slack.command("admin")
@click.argument("slack_user", metavar="MEMBER-ID")
@click.option("--as", "username", default="", help="What the new user is called; without: as the account's id.")
@click.option("--team", default="", help="The workspace, when o8 is not connected to it yet.")
@pass_session
def admin(session: Session, slack_user: str, username: str, team: str) -> None:
    """Make a Slack account admin of everything; MEMBER-ID is in the person's profile under the dots."""
    body = {"slack_user": _id(slack_user), "username": username, "team": team}
    found = session.api.post("slack", "admins", body=body)
    session.output.show(found, lambda: session.output.say(f"{found['username']} is admin of everything."))


@slack.command("link")
@click.argument("slack_user", metavar="MEMBER-ID")
@click.argument("username")
@click.option("--team", default="", help="The workspace, when o8 is not connected to it yet.")
@pass_session
def link(session: Session, slack_user: str, username: str, team: str) -> None:
    """Let a Slack account speak for a user."""
    body = {"slack_user": _id(slack_user), "username": username, "team": team}
    found = session.api.post("slack", "links", body=body)
    session.output.show(found, lambda: session.output.say(f"{slack_user} speaks for {username}."))


def rights(grants: list[dict[str, Any]]) -> str:
    """In words, such as `deploy in service:web until 2025-01-31 12:00 UTC`."""
    return ", ".join(f"{g['action']} in {g['scope']}{until(g['expires_at'])}" for g in grants)


def until(time: str | None) -> str:
    return f" until {datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC" if time else ""


def _id(text: str) -> str:
    """`U0123ABCD`, also as Slack writes it in a message."""
    return text.strip("<>@").partition("|")[0]
