"""Commands on a service itself: its file, its hold and its lock."""

from __future__ import annotations

from datetime import timedelta
from typing import IO, Any

import click

from bot.cli.group import Group, Session, o8, pass_session
from bot.cli.output import ago
from bot.cli.parameters import Duration, confirmed, make_sure, waiting
from bot.cli.watching import bring
from bot.configuration import Configuration, as_toml, read_toml
from bot.errors import InvalidInput


@o8.group("service", cls=Group)
def service() -> None:
    """Add, show, change and remove services."""


@service.command("apply")
@click.argument("file", type=click.File("rb"), metavar="FILE.toml")
@waiting
@pass_session
def apply(session: Session, file: IO[bytes], until: str | None) -> None:
    """Add the service of FILE.toml, or change it and deploy the change. `-` reads stdin."""
    try:
        configuration = read_toml(file.read().decode())
    except UnicodeDecodeError:
        raise InvalidInput("The service file is not UTF-8 text.", "docs/services.md has an example.") from None
    name = configuration.name
    answer = session.api.put("services", name, body=configuration.model_dump(mode="json"))
    if answer["deployment"]:
        bring(session, answer["deployment"], until, answer)
    elif answer["is_new"]:
        text = f"{name} is added. `o8 deploy {name}` deploys its newest tag; until then it waits for a push."
        session.output.show(answer, lambda: session.output.say(text))
    else:
        session.output.show(answer, lambda: session.output.say(f"{name} runs like this already; nothing to deploy."))


@service.command("show")
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Print the service file as it is in force, without its defaults."""
    found = session.api.get("services", name)
    configuration = Configuration.model_validate(found["configuration"])
    session.output.show(found, lambda: session.output.say("\n".join([*_facts(found), *as_toml(configuration)])))


@service.command("list")
@pass_session
def list_services(session: Session) -> None:
    """List all services."""
    found = session.api.get("services")
    rows = ([s["name"], s["state"], s["release"] or "-", s["configuration"]["image"],
             " ".join(s["configuration"]["domains"]) or "-"] for s in found)  # fmt: skip
    heads = ("Service", "State", "Release", "Image", "Domains")
    nothing = "No services yet. `o8 service apply FILE.toml` adds one."
    session.output.show(found, lambda: session.output.table(heads, rows, nothing=nothing))


@service.command("remove")
@click.argument("name")
@confirmed
@pass_session
def remove(session: Session, name: str, is_sure: bool) -> None:
    """Take a service off nginx and Docker. Its volumes and its history stay."""
    make_sure(f"Remove {name}? Its site and containers go, its environment too; volumes and history stay.", is_sure)
    answer = session.api.delete("services", name)
    session.output.show(answer, lambda: session.output.say(f"{name} is removed."))


@service.command("certificate")
@click.argument("name")
@pass_session
def certificate(session: Session, name: str) -> None:
    """Try again at once to get a certificate, instead of waiting."""
    answer = session.api.post("services", name, "certificate")
    session.output.show(answer, lambda: session.output.say(f"o8 tries. `o8 service show {name}` says what came of it."))


@o8.command("hold")
@click.argument("service")
@click.option("--reason", required=True, help="Why, for the others.")
@pass_session
def hold(session: Session, service: str, reason: str) -> None:
    """Record automatic deployments, but do not run them."""
    answer = session.api.put("services", service, "hold", body={"reason": reason})
    session.output.show(answer, lambda: session.output.say(f"{service} is on hold until `o8 resume {service}`."))


@o8.command("resume")
@click.argument("service")
@pass_session
def resume(session: Session, service: str) -> None:
    """Lift a hold and look for the newest tag at once."""
    answer = session.api.delete("services", service, "hold")
    session.output.show(answer, lambda: session.output.say(f"{service} follows its tags again: {answer['outcome']}."))


@o8.command("lock")
@click.argument("service")
@click.option("--for", "duration", type=Duration(), default="4h", show_default=True, help="How long: 90s, 2h, 1d.")
@click.option("--reason", required=True, help="Why, for the others.")
@pass_session
def lock(session: Session, service: str, duration: timedelta, reason: str) -> None:
    """Let nobody deploy for a while."""
    body = {"reason": reason, "seconds": int(duration.total_seconds())}
    answer = session.api.put("services", service, "lock", body=body)
    session.output.show(answer, lambda: session.output.say(f"{service} is locked until {answer['lock']['until']}."))


@o8.command("unlock")
@click.argument("service")
@pass_session
def unlock(session: Session, service: str) -> None:
    """Lift a lock."""
    answer = session.api.delete("services", service, "lock")
    session.output.show(answer, lambda: session.output.say(f"{service} is not locked any more."))


def _facts(found: dict[str, Any]) -> list[str]:
    """What is no part of the file, as comments: so that the output can be applied again."""
    facts = [f"{found['name']} is {found['state']}, release {found['release'] or '-'}"]
    for word in ("hold", "lock"):
        if by := found[word]:
            facts.append(f"{word} by {by['actor']}, {ago(by['since'])}: {by['reason']}")
    if tls := found["certificate"]:
        ends = f"good until {tls['ends_at'][:10]}" if tls["ends_at"] else "none yet, or not to be read here"
        facts.append(f"certificate: {ends}{': ' if tls['trouble'] else ''}{tls['trouble']}")
    return [f"# {fact}".replace("\n", " ") for fact in facts]
