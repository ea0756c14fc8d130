"""Commands on a service's environment. Values are shown only when asked for."""

from __future__ import annotations

import sys
from typing import Any

import click

from bot.cli.group import Group, Session, o8, pass_session
from bot.cli.output import ago
from bot.cli.parameters import secret, waiting
from bot.cli.watching import bring


@o8.group("env", cls=Group)
def env() -> None:
    """See and change a service's environment."""


@env.command("list")
@click.argument("service")
@click.option("--values", is_flag=True, help="Print the text with its values; that is recorded in the audit.")
@pass_session
def list_names(session: Session, service: str, values: bool) -> None:
    """List the names that are set."""
    found = session.api.get("services", service, "environment", values=values)

    def in_words() -> None:
        if values:
            for line in found["content"].splitlines():
                session.output.line(line)
            return
        rows = ([name] for name in found["names"])
        session.output.table(("Name",), rows, nothing=f"{service} has no environment.")
        if found["revision"]:
            session.output.say(f"Revision {found['revision']} by {found['actor']}, {ago(found['created_at'])}.")

    session.output.show(found, in_words)


@env.command("set")
@click.argument("service")
@click.argument("assignments", metavar="KEY=VALUE | KEY", nargs=-1, required=True)
@waiting
@pass_session
def set_values(session: Session, service: str, assignments: tuple[str, ...], until: str | None) -> None:
    """Set values and deploy them. KEY alone asks for its value without echo, or reads it from stdin.

    What stands on a command line can be seen by every user of the machine: use KEY alone for secrets.
    """
    bare = [a for a in assignments if "=" not in a]
    if len(bare) > 1 and not sys.stdin.isatty():
        raise click.UsageError("Stdin holds one value: name one KEY without a value.")
    parts = [assignment.partition("=") for assignment in assignments]
    values = {key: value if is_given else secret(f"Value of {key}") for key, is_given, value in parts}
    _change(session, service, {"set": values}, until)


@env.command("unset")
@click.argument("service")
@click.argument("names", metavar="KEY", nargs=-1, required=True)
@waiting
@pass_session
def unset(session: Session, service: str, names: tuple[str, ...], until: str | None) -> None:
    """Remove values and deploy that."""
    _change(session, service, {"unset": names}, until)


def _change(session: Session, service: str, body: dict[str, Any], until: str | None) -> None:
    answer = session.api.patch("services", service, "environment", body=body)
    if answer["deployment"]:
        bring(session, answer["deployment"], until, answer)
    else:
        text = f"Revision {answer['revision']} is stored; {service} gets it with its next start."
        session.output.show(answer, lambda: session.output.say(text))
