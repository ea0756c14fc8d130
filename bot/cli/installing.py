"""From an image to a service that runs, in one command."""

from __future__ import annotations

from typing import Any

import click

from bot.cli.group import Session, o8, pass_session
from bot.cli.output import Record
from bot.cli.parameters import waiting
from bot.cli.watching import bring
from bot.configuration import Configuration, as_toml

_SECTIONS = {"health": ("health", "path"), "memory": ("limits", "memory"), "cpus": ("limits", "cpus"),
             "auto_deploy": ("follow", "auto_deploy")}  # fmt: skip


@o8.command("install")
@click.argument("image")
@click.option("--name", help="What the service is called; without: after the image.")
@click.option("--port", type=int, help="Port inside the container; without: by the image's label or EXPOSE.")
@click.option("--domain", "domains", multiple=True, help="Host name, may be given several times.")
@click.option("--health", help="Path of the health check, such as /up.")
@click.option("--memory", help="Memory of each container, such as 256m.")
@click.option("--cpus", type=float, help="Processors of each container, such as 0.5.")
@click.option("--replicas", type=click.IntRange(1, 8), help="How many containers.")
@click.option("--auto-deploy", type=click.Choice(["on", "approve", "off"]), help="What later pushes do.")
@click.option("--dry-run", is_flag=True, help="Only say what it would be.")
@waiting
@pass_session
def install(session: Session, /, image: str, dry_run: bool, until: str | None, **wanted: Any) -> None:
    """Make a service of IMAGE (ghcr.io/acme/blog:0001, acme/blog or blog) and deploy it.

    What is not said comes from the image: its labels, EXPOSE and HEALTHCHECK (docs/github.md).
    """
    found = session.api.post("services", body={"image": image} | _changes(wanted), dry_run=True)
    if not session.output.is_json:
        _tell(session, found)
    if dry_run:
        session.output.show(found, lambda: None)
        return
    # Just what was shown, though another image may have been pushed meanwhile.
    reference = f"{found['image']}:{found['tag']}" if found["tag"] else f"{found['image']}@{found['digest']}"
    answer = session.api.post("services", body=found["configuration"] | {"image": reference})
    bring(session, answer["deployment"], until, answer | {"notes": found["notes"], "doubts": found["doubts"]})


def _changes(wanted: dict[str, Any]) -> dict[str, Any]:
    """What was given, as keys of a service file."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if value in (None, ()):
            continue
        section, name = _SECTIONS.get(key, ("", key))
        place = found.setdefault(section, {}) if section else found
        place[name] = value
    return found


def _tell(session: Session, found: Record) -> None:
    say = session.output.say
    where = f", at {' '.join(found['hosts'])}" if found["hosts"] else ""
    say(f"{found['image']} {found['tag'] or found['digest']} becomes the service {found['service']}{where}.")
    for line in as_toml(Configuration.model_validate(found["configuration"])):
        say(f"    {line}".rstrip())
    for note in found["notes"]:
        say(note)
