"""From an image that was pushed to a service that runs."""

from __future__ import annotations

from bot.chat import service_name
from bot.configuration import read
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import form, verb
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.deploying import begun


@verb("available", Action.ADD_NEW_SERVICE)
async def available(talk: Talk) -> Reply:
    """Images that were pushed and that no service uses yet."""
    found = [p for p in await talk.services.store.packages() if p.state != "dismissed"]
    if not found:
        return Reply("Every image that was pushed is used by a service.")
    rows = [(p.image, p.tag, names.when(p.last_seen)) for p in found[:40]]
    return Reply(
        f"{len(found)} image{'s' * (len(found) != 1)} that no service uses.",
        table=(("image", "newest tag", "pushed"), *rows),
        buttons=tuple(Button(f"Install {p.image.rpartition('/')[2]}", f"install {p.image}") for p in found[:5]),
    )


@verb("install IMAGE", Action.ADD_NEW_SERVICE)
async def install(talk: Talk, *, image: str) -> Reply:
    """Makes a service of an image: a form asks for name, port, domain, health check and limits.

    Example: `/o8 install ghcr.io/acme/shop`
    """
    image = image.removesuffix(":latest").lower()
    fields = (
        Field("name", "Name of the service", value=service_name(image)),
        Field("port", "Port inside the container", "number", value="8080"),
        Field("domains", "Domains", hint="Comma-separated. Empty: its name under BASE_DOMAIN.", is_optional=True),
        Field("health", "Path of the health check", value="/", is_optional=True),
        Field("memory", "Memory limit", value="512m", hint="Such as 512m or 2g.", is_optional=True),
        Field("cpus", "CPU limit", hint="Such as 0.5 or 2.", is_optional=True),
        Field("auto_deploy", "New pushes", "choice", value="on", choices=("on", "approve", "off")),
    )
    found = Form("install", "Install a service", "Install", fields, {"image": image}, image)
    return Reply(f"Install {image}?", form=found)


@form("install", Action.ADD_NEW_SERVICE)
async def install_form(talk: Talk, *, image: str, name: str, port: str, auto_deploy: str = "on", domains: str = "",
                       health: str = "", memory: str = "", cpus: str = "") -> Reply:  # fmt: skip
    """What the form of `install` asks for."""
    limits = {key: value for key, value in (("memory", memory), ("cpus", cpus)) if value}
    configuration = read({
        "name": name.strip(), "image": image, "port": port.strip(), "limits": limits,
        "domains": [domain.strip() for domain in domains.split(",") if domain.strip()],
        "health": {"path": health.strip() or "/"}, "follow": {"auto_deploy": auto_deploy},
    })  # fmt: skip
    return await begun(talk, await talk.commands.install(configuration))


@verb("dismiss IMAGE", Action.ADD_NEW_SERVICE, writes=True)
async def dismiss(talk: Talk, *, image: str) -> Reply:
    """Nobody is asked about this image again. `/o8 install IMAGE` still works."""
    await talk.commands.dismiss_package(image)
    return Reply(f"{image} is not offered any more.")
