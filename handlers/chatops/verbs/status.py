"""What runs, what ran, what waits: commands that only look."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.errors import NotFound
from bot.models import Deployment, Service, State
from bot.operations import release_named
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import verb
from handlers.chatops.reply import Button, Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.configuration import flat

MOST_SHOWN, WITH_BUTTONS = 40, 5


@verb("services", None)
async def services(talk: Talk) -> Reply:
    """Your services, with what you can do to each. `/o8` alone does the same."""
    found = await _visible(talk)
    if not found:
        return Reply("You see no service yet.", ("`/o8 request view_status global -- why` asks for it.",))
    rows = [await _row(talk, service) for service in found[:MOST_SHOWN]]
    buttons = [Button(service.name, f"status {service.name}") for service in found[:WITH_BUTTONS]]
    more = len(found) - MOST_SHOWN
    return Reply(
        f"You see {len(found)} service{'s' * (len(found) != 1)}.",
        (f"And {more} more: `/o8 status NAME`.",) if more > 0 else (),
        table=(("service", "state", "release", "since"), *rows),
        buttons=(*buttons, Button("Deploy…", "deploy", "primary")),
    )


@verb("whoami", None)
async def whoami(talk: Talk) -> Reply:
    """Who you are to o8, and what you may do."""
    rows = [(g.action.value, g.scope, names.when(g.expires_at) if g.expires_at else "") for g in talk.person.grants]
    return Reply(
        f"You are {talk.person.username}.",
        () if rows else ("You have no right yet; `/o8 request ACTION SCOPE -- why` asks for one.",),
        table=(("may", "in", "until"), *rows) if rows else (),
    )


@verb("status [SVC]", Action.VIEW_STATUS)
async def status(talk: Talk, *, svc: str = "") -> Reply:
    """How a service is: what serves, since when, what hinders it. Without a name: all of yours.

    Example: `/o8 status web`
    """
    if not svc:
        return await services(talk)
    store = talk.services.store
    service = await store.service(svc)
    live = await store.deployment(service.live) if service.live else None
    newest = await store.deployments(svc, limit=1)
    details = [f"Image {service.configuration.image}, {service.configuration.replicas} replicas."]
    if live:
        by = await names.person(talk.services.authority, live.actor)
        details.append(f"Release {live.release} ({live.digest[7:19]}), deployment {live.id} by {by}.")
    details += await _hindrances(talk, service)
    if newest and (live is None or newest[0].id != live.id):
        details.append(f"Last deployment: {newest[0].id} of {newest[0].release}, {newest[0].state}. {newest[0].error}")
    return Reply(_sentence(service, live), tuple(details), buttons=_offers(talk, service))


@verb("releases SVC", Action.VIEW_STATUS)
async def releases(talk: Talk, *, svc: str) -> Reply:
    """What rollback can choose from, the newest first.

    Example: `/o8 releases web`
    """
    service = await talk.services.store.service(svc)
    found = await talk.services.store.releases(svc)
    if not found:
        return Reply(f"{svc} has no release yet.", buttons=(Button("Deploy", f"deploy {svc}", "primary"),))
    rows = []
    for release in found[:MOST_SHOWN]:
        by = await names.person(talk.services.authority, release.actor)
        mark = "live" if release.id == service.live else ""
        rows.append((f"#{release.id}", release.release, release.digest[7:19], names.when(release.created_at), by, mark))
    back = [r for r in found if r.id != service.live][:3] if talk.may(Action.DEPLOY, svc) else []
    return Reply(
        f"{svc} has {len(found)} release{'s' * (len(found) != 1)}.",
        table=(("id", "tag", "digest", "when", "by", ""), *rows),
        buttons=tuple(Button(f"Roll back to {r.release}", f"rollback {svc} #{r.id}") for r in back),
    )


@verb("diff SVC [RELEASE] [RELEASE2]", Action.VIEW_STATUS)
async def diff(talk: Talk, *, svc: str, release: str = "", release2: str = "") -> Reply:
    """What changed between two releases: image, commit, environment, and for who may see it the configuration.

    Without names: the release before and the one that serves. Example: `/o8 diff web 0004 0005`
    """
    older, newer = await _pair(talk, svc, release, release2)
    pairs = [
        ("digest", older.digest, newer.digest),
        ("commit", older.commit[:12], newer.commit[:12]),
        ("environment", f"revision {older.environment_revision}", f"revision {newer.environment_revision}"),
    ]
    if talk.may(Action.VIEW_CONFIGURATION, svc):
        before, after = (flat(each.configuration.model_dump(mode="json")) for each in (older, newer))
        pairs += [(key, str(before.get(key, "")), str(after.get(key, ""))) for key in sorted(before | after)]
    rows = [(what, old.removeprefix("sha256:"), new.removeprefix("sha256:")) for what, old, new in pairs if old != new]
    if not rows:
        return Reply(f"{older.release} and {newer.release} of {svc} are the same.")
    return Reply(
        f"{len(rows)} difference{'s' * (len(rows) != 1)} between {older.release} and {newer.release} of {svc}.",
        table=(("what", older.release, newer.release), *rows),
    )


@verb("queue", Action.VIEW_STATUS)
async def queue(talk: Talk) -> Reply:
    """What is being deployed, and what waits."""
    seen = set(await talk.seen())
    found = [d for d in await talk.services.store.pending() if d.service in seen]
    if not found:
        return Reply("Nothing is being deployed, and nothing waits.")
    rows = [(f"{d.id}", d.service, d.release, d.state.value, names.ago(d.created_at)) for d in found]
    waiting = [d for d in found if d.state is State.WAITING and talk.may(Action.DEPLOY, d.service)]
    return Reply(
        f"{len(found)} deployment{'s' * (len(found) != 1)} under way or waiting.",
        table=(("id", "service", "release", "state", "for"), *rows),
        buttons=tuple(Button(f"Approve {d.id}", f"approve {d.id}") for d in waiting[:5]),
    )


async def _visible(talk: Talk) -> list[Service]:
    return [s for s in await talk.services.store.services() if talk.may(Action.VIEW_STATUS, s.name)]


async def _row(talk: Talk, service: Service) -> tuple[str, ...]:
    live = await talk.services.store.deployment(service.live) if service.live else None
    marks = [mark for mark, is_so in (("hold", service.hold), ("lock", _is_locked(service))) if is_so]
    since = names.ago(live.switched_at) if live and live.switched_at else ""
    return (service.name, " ".join((_state(service), *marks)), live.release if live else "-", since)


def _state(service: Service) -> str:
    return "new" if service.live is None else "stopped" if service.is_stopped else "live"


def _is_locked(service: Service) -> bool:
    return service.lock is not None and service.lock.until > datetime.now(UTC)


def _sentence(service: Service, live: Deployment | None) -> str:
    if live is None:
        return f"{service.name} has never been deployed."
    if service.is_stopped:
        return f"{service.name} is stopped; its last release is {live.release}."
    since = f", for {names.ago(live.switched_at)}" if live.switched_at else ""
    return f"{service.name} {live.release} is live{since}."


async def _hindrances(talk: Talk, service: Service) -> list[str]:
    found, authority = [], talk.services.authority
    if service.hold:
        by = await names.person(authority, service.hold.actor)
        found.append(f"On hold by {by}: {service.hold.reason}.")
    if service.lock and _is_locked(service):
        by = await names.person(authority, service.lock.actor)
        found.append(f"Locked by {by} until {names.when(service.lock.until)}: {service.lock.reason}.")
    if run := talk.services.worker.running(service.name):
        found.append(f"Deployment {run.deployment.id} of {run.deployment.release} is under way.")
    return found


def _offers(talk: Talk, service: Service) -> tuple[Button, ...]:
    """Only what makes sense now and what this person may."""
    name = service.name
    offers = [
        (Action.MANAGE, service.is_stopped, Button("Start", f"start {name}", "primary")),
        (Action.DEPLOY, not service.is_stopped, Button("Deploy", f"deploy {name}")),
        (Action.DEPLOY, service.live is not None and not service.is_stopped, Button("Restart", f"restart {name}")),
        (Action.DEPLOY, service.live is not None, Button("Roll back", f"rollback {name}")),
        (Action.DEPLOY, service.hold is not None, Button("Resume", f"resume {name}")),
        (Action.VIEW_LOGS, service.live is not None, Button("Logs", f"logs {name}")),
    ]
    return tuple(button for action, makes_sense, button in offers if makes_sense and talk.may(action, name))


async def _pair(talk: Talk, svc: str, first: str, second: str) -> tuple[Deployment, Deployment]:
    """Older and newer of two releases; what is not named is the live one, and the one before it."""
    store = talk.services.store
    found, service = await store.releases(svc), await store.service(svc)
    named = [release_named(found, name, svc) for name in (first, second) if name]
    live = next((r for r in found if r.id == service.live), None)
    if len(named) < 2 and live and live not in named:
        named.append(live)
    if len(named) < 2 and live:
        named += [r for r in found if r.id < live.id][:1]
    if len(named) < 2:
        raise NotFound(f"{svc} has no two releases to compare.", f"`/o8 releases {svc}` lists them.")
    older, newer = sorted(named[:2], key=lambda release: release.id)
    return older, newer
