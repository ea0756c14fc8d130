"""From an image that was pushed to a service that runs."""

from __future__ import annotations

from typing import Any

import orjson

from bot.configuration import read
from bot.packages.proposal import Offer
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import form, verb
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.deploying import begun

MOST_SHOWN, WITH_BUTTONS = 40, 5
PATIENCE_S = 5.0  # with a registry, while somebody looks at a form that is empty
_TITLE = "Install a service"


@verb("available [TEXT]", Action.ADD_NEW_SERVICE)
async def available(talk: Talk, *, text: str = "") -> Reply:
    """Images that no service uses yet: pushed, or listed at GitHub. With a text only those that have it in their name.

    Example: `/o8 available shop`
    """
    known = await talk.services.listing.available()
    found = [package for package in known.packages if text.lower() in package.image]
    if not found:
        if text and known.packages:
            return Reply(f"No image that could be installed has {text!r:.80} in its name.", (known.note,))
        return Reply("Nothing to install: every image that o8 knows is used by a service, or dismissed.", (known.note,))
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

    What stands in it comes from the image; `acme/shop` and `shop` are enough where that is clear.
    Example: `/o8 install ghcr.io/acme/shop`
    """

    async def ready() -> Reply:
        found = await talk.commands.offer(image, patience_s=PATIENCE_S)
        return Reply(f"Install {image}?", form=form_of(found))

    # Slack gives three seconds to open a form, and a registry may take longer.
    waiting = Form("install", _TITLE, "", (), about=f"Looking at {image} ...")
    return Reply(f"Install {image}?", form=waiting, later=ready)


def form_of(offer: Offer) -> Form:
    """Filled with what the image says; what no field shows travels along."""
    kept = offer.configuration
    shown: dict[str, Any] = {"name": True, "image": True, "port": True, "domains": True, "limits": {"memory", "cpus"},
             "health": {"path"}, "follow": {"auto_deploy"}}  # fmt: skip
    rest = kept.model_dump_json(exclude_defaults=True, exclude=shown)
    by_image = kept.health.kind == "image"
    fields = (
        Field("name", "Name of the service", value=kept.name),
        Field("port", "Port inside the container", "number", value=str(kept.port)),
        Field("domains", "Domains", value=", ".join(kept.domains), is_optional=True,
              hint="Comma-separated. Empty: its name under BASE_DOMAIN."),
        Field("health", "Path of the health check", value="" if by_image else kept.health.path, is_optional=True,
              hint="Empty: the image's own HEALTHCHECK." if by_image else ""),
        Field("memory", "Memory limit", value=kept.limits.memory, hint="Such as 512m or 2g.", is_optional=True),
        Field("cpus", "CPU limit", value=f"{kept.limits.cpus:g}", hint="Such as 0.5 or 2.", is_optional=True),
        Field("auto_deploy", "New pushes", "choice", value="on", choices=("on", "approve", "off")),
    )  # fmt: skip
    fixed = {"image": offer.image, "release": offer.tag or offer.digest, "rest": rest}
    about = "\n".join((f"{offer.image}{':' if offer.tag else ''}{offer.tag}", *offer.notes))
    return Form("install", _TITLE, "Install", fields, fixed, about)


@form("install", Action.ADD_NEW_SERVICE)
async def install_form(talk: Talk, *, image: str, release: str, rest: str, name: str, port: str,
                       auto_deploy: str = "on", domains: str = "", health: str = "", memory: str = "",
                       cpus: str = "") -> Reply:  # fmt: skip
    """What the form of `install` asks for."""
    kept: dict[str, Any] = orjson.loads(rest)
    limits = {key: value for key, value in (("memory", memory), ("cpus", cpus)) if value}
    path = {"kind": "http", "path": health.strip()} if health.strip() else {}
    configuration = read({
        **kept, "name": name.strip(), "image": image, "port": port.strip(), "limits": kept.get("limits", {}) | limits,
        "domains": [domain.strip() for domain in domains.split(",") if domain.strip()],
        "health": kept.get("health", {}) | path, "follow": kept.get("follow", {}) | {"auto_deploy": auto_deploy},
    })  # fmt: skip
    return await begun(talk, await talk.commands.install(configuration, release))


@verb("dismiss IMAGE", Action.ADD_NEW_SERVICE, writes=True)
async def dismiss(talk: Talk, *, image: str) -> Reply:
    """Nobody is asked about this image again. `/o8 install IMAGE` still works."""
    await talk.commands.dismiss_package(image)
    return Reply(f"{image} is not offered any more.")
