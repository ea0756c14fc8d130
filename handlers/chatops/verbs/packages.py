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

MOST_SHOWN, WITH_BUTTONS = 40, 5


@verb("available [TEXT]", Action.ADD_NEW_SERVICE)
async def available(talk: Talk, *, text: str = "") -> Reply:
    """Images that no service uses yet: pushed, or listed at GitHub. With a text only those that have it in their name.

    Example: `/o8 available shop`
    """
    known = await talk.services.listing.available()
    found = [package for package in known.packages if text.lower() in package.image]
    if not found:
        of = f" has {text!r:.80} in its name" if text and known.packages else ""
        return Reply(f"No image that no service uses{of or ' is known'}.", (known.note,))
    rows = [
        (p.image, p.tag or "-", names.when(p.pushed_at) if p.pushed_at else "", p.repository)
        for p in found[:MOST_SHOWN]
    ]
    more = len(found) - len(rows)
    return Reply(
        f"{len(found)} image{'s' * (len(found) != 1)} that no service uses.",
        (*((f"And {more} more: `/o8 available TEXT` shows those with a text in their name.",) if more else ()),
         known.note),
        table=(("image", "newest tag", "pushed", "repository"), *rows),
        buttons=tuple(
            Button(f"Install {p.image.partition('/')[2]}", f"install {p.image}") for p in found[:WITH_BUTTONS]
        ),
    )  # fmt: skip


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
