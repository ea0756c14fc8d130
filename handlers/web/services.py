"""Services: the list, one of them, what can be done to it, its configuration, a new one."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from aiohttp import web

from bot.chat import service_name
from bot.configuration import Configuration, read
from bot.errors import Conflict, InvalidInput, NotFound, O8Error
from bot.models import Deployment
from bot.permissions import Action
from handlers.access import ACCOUNT, globally, on_service
from handlers.api import representations as shown
from handlers.errors import status_of
from handlers.web import charts, forms
from handlers.web.routing import HOME, Route, Visit

_LAST = 10
_PATIENCE_S = 3.0  # with a registry; the form comes without what the image says then


async def everything(visit: Visit) -> web.Response:
    store, observer = visit.services.store, visit.services.observer
    newest = await store.newest_tags()
    rows = [
        {
            "service": each.service, "live": each.live, "last": each.last, "state": shown.state(each.service),
            "newest": newest.get(each.service.name), "replicas": observer.replicas(each.service.name),
            "sample": observer.now(each.service.name),
            "cpu": charts.cpu(observer.samples(each.service.name)), "lock": shown.lock(each.service.lock),
            "run": visit.services.worker.running(each.service.name),
        }
        for each in await store.overview()
        if visit.may(Action.VIEW_STATUS, each.service.name)
    ]  # fmt: skip
    available = await visit.services.listing.available() if visit.may(Action.ADD_NEW_SERVICE) else None
    return visit.render("services.html", rows=rows, available=available)


async def one(visit: Visit) -> web.Response:
    store, observer, name = visit.services.store, visit.services.observer, visit.name
    service = await store.service(name)
    samples = observer.samples(name)
    return visit.render(
        "service.html", service=service, state=shown.state(service), lock=shown.lock(service.lock),
        live=await store.deployment(service.live) if service.live else None,
        deployments=await store.deployments(name, limit=_LAST), releases=await store.releases(name),
        newest=(await store.newest_tags()).get(name), tags=(await visit.services.follower.tags(name))[-200:],
        replicas=observer.replicas(name), sample=observer.now(name), cpu=charts.cpu(samples),
        memory=charts.memory(samples), bars=charts.bars, running=visit.services.worker.running,
        tls=shown.certificate(await visit.services.standings.of(service)),
    )  # fmt: skip


async def deploy(visit: Visit) -> web.Response:
    sent = await visit.form()
    bypass = visit.may(Action.MANAGE, visit.name)
    release, reason = sent.get("release", "").strip(), sent.get("reason", "")
    return _begun(visit, await visit.commands.deploy(visit.name, release, bypass=bypass, reason=reason.strip()))


async def rollback(visit: Visit) -> web.Response:
    sent = await visit.form()
    release, reason = sent.get("release", "").strip(), sent.get("reason", "").strip()
    return _begun(visit, await visit.commands.rollback(visit.name, release, reason=reason))


async def restart(visit: Visit) -> web.Response:
    await visit.form()
    return _begun(visit, await visit.commands.restart(visit.name))


async def start(visit: Visit) -> web.Response:
    await visit.form()
    return _begun(visit, await visit.commands.start(visit.name))


async def stop(visit: Visit) -> web.Response:
    await visit.form()
    await visit.commands.stop(visit.name)
    return visit.go(_home(visit), f"{visit.name} is stopped; its site shows the maintenance page.")


async def scale(visit: Visit) -> web.Response:
    count = (await visit.form()).get("replicas", "")
    applied = await visit.commands.scale(visit.name, int(count) if count.isdecimal() and len(count) < 4 else 0)
    if applied.deployment:
        return _begun(visit, applied.deployment)
    return visit.go(_home(visit), f"{visit.name} runs {count} of itself from its next deployment on.")


async def lock(visit: Visit) -> web.Response:
    sent = await visit.form()
    hours = sent.get("hours", "4")
    await visit.commands.lock(
        visit.name, sent.get("reason", ""), timedelta(hours=int(hours) if hours.isdecimal() else 4)
    )
    return visit.go(_home(visit), f"{visit.name} is locked.")


async def unlock(visit: Visit) -> web.Response:
    await visit.form()
    await visit.commands.unlock(visit.name, steal=True)
    return visit.go(_home(visit), f"{visit.name} is not locked any more.")


async def hold(visit: Visit) -> web.Response:
    await visit.commands.hold(visit.name, (await visit.form()).get("reason", ""))
    return visit.go(_home(visit), f"What is pushed for {visit.name} is recorded, but not deployed.")


async def resume(visit: Visit) -> web.Response:
    await visit.form()
    return visit.go(_home(visit), f"The hold is lifted: {await visit.commands.resume(visit.name)}.")


async def remove(visit: Visit) -> web.Response:
    """The name has to be typed."""
    if (await visit.form()).get("confirm") != visit.name:
        raise InvalidInput("That is not its name.", f"Type {visit.name} to remove it.")
    await visit.commands.remove(visit.name)
    return visit.go(HOME, f"{visit.name} is removed; its volumes and its history are kept.")


async def configuration(visit: Visit) -> web.Response:
    found = (await visit.services.store.service(visit.name)).configuration
    return _form(visit, visit.name, forms.sections(found), seen=_seen(found))


async def configure(visit: Visit) -> web.Response:
    sent = await visit.form()
    found = (await visit.services.store.service(visit.name)).configuration
    try:
        if sent.get("seen") != _seen(found):
            raise Conflict(
                "Somebody else has changed it meanwhile.", "Yours is below; save it again to replace theirs."
            )
        applied = await visit.commands.apply(read(forms.values(sent, visit.name)), expected=found)
    except (InvalidInput, Conflict) as error:
        return _form(visit, visit.name, forms.as_sent(sent), seen=_seen(found), error=error)
    if applied.deployment:
        return _begun(visit, applied.deployment)
    return visit.go(_home(visit), "Saved; nothing that runs had to change.")


async def new(visit: Visit) -> web.Response:
    """A service of an image that was pushed, or of any other, filled with what the image says about itself."""
    image = visit.request.query.get("image", "").strip()
    draft = Configuration.model_construct(name="", image=image, port=8080)
    if not image:
        return _form(visit, "", forms.sections(draft))
    try:
        found = await visit.commands.offer(image, patience_s=_PATIENCE_S)
    except (InvalidInput, Conflict, NotFound) as error:
        return _form(visit, service_name(image), forms.sections(draft), error=error)
    shown = forms.sections(found.configuration)
    return _form(visit, found.configuration.name, shown, tag=found.tag or found.digest, notes=found.notes)


async def install(visit: Visit) -> web.Response:
    sent = await visit.form()
    name, tag = sent.get("name", "").strip(), sent.get("tag", "").strip()
    try:
        return _begun(visit, await visit.commands.install(read(forms.values(sent, name)), tag))
    except (InvalidInput, Conflict) as error:
        return _form(visit, name, forms.as_sent(sent), tag=tag, error=error)


def _form(visit: Visit, name: str, sections: tuple[forms.Section, ...], *, seen: str = "", tag: str = "",
          notes: tuple[str, ...] = (), error: O8Error | None = None) -> web.Response:  # fmt: skip
    """The form again, with what was typed, when it was wrong. `seen`: what it was made from, empty for a new one."""
    return visit.render("configuration.html", status_of(error) if error else 200, name=name, sections=sections,
                        is_new=not seen, seen=seen, tag=tag, notes=notes, error=error)  # fmt: skip


def _seen(found: Configuration) -> str:
    return hashlib.sha256(found.model_dump_json().encode()).hexdigest()


def _begun(visit: Visit, deployment: Deployment) -> web.Response:
    return visit.go(f"/ui/deployments/{deployment.id}")


def _home(visit: Visit) -> str:
    return f"/ui/services/{visit.name}"


_ONE = "/ui/services/{name}"
ROUTES = (
    Route("GET", HOME, everything, ACCOUNT),
    Route("GET", "/ui/new", new, globally(Action.ADD_NEW_SERVICE)),
    Route("POST", "/ui/new", install, globally(Action.ADD_NEW_SERVICE)),
    Route("GET", _ONE, one, on_service(Action.VIEW_STATUS)),
    Route("POST", f"{_ONE}/deploy", deploy, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/rollback", rollback, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/restart", restart, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/start", start, on_service(Action.MANAGE)),
    Route("POST", f"{_ONE}/stop", stop, on_service(Action.MANAGE)),
    Route("POST", f"{_ONE}/scale", scale, on_service(Action.MANAGE)),
    Route("POST", f"{_ONE}/lock", lock, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/unlock", unlock, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/hold", hold, on_service(Action.MANAGE)),
    Route("POST", f"{_ONE}/resume", resume, on_service(Action.DEPLOY)),
    Route("POST", f"{_ONE}/remove", remove, on_service(Action.MANAGE)),
    Route("GET", f"{_ONE}/configuration", configuration, on_service(Action.VIEW_CONFIGURATION)),
    Route("POST", f"{_ONE}/configuration", configure, on_service(Action.EDIT_CONFIGURATION)),
)
