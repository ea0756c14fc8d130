"""The environment in chat: names in replies, values in forms only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from bot.models import EnvironmentRevision
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import form, verb
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.deploying import begun

_CAUTION = (
    "A value does not belong into a message: a form asks for it. If there was one in yours, replace it, "
    "as Slack keeps it in its history."
)


@verb("env SVC", Action.VIEW_ENV)
async def env(talk: Talk, *, svc: str) -> Reply:
    """Which variables a service has, since when and by whom; never their values."""
    service = await talk.services.store.service(svc)
    revisions = await talk.services.store.environment_revisions(svc)
    if not revisions or not revisions[0].names:
        return Reply(f"{svc} has no environment variables.", buttons=_offer(talk, svc))
    rows = []
    for name in revisions[0].names:
        first = _since(name, revisions)
        rows.append((name, names.when(first.created_at), await names.person(talk.services.authority, first.actor)))
    newest = revisions[0]
    by = await names.person(talk.services.authority, newest.actor)
    return Reply(
        f"{svc} has {len(rows)} variable{'s' * (len(rows) != 1)}, revision {service.environment_revision}.",
        (f"Last changed {names.when(newest.created_at)} by {by}.",),
        table=(("name", "since", "by"), *rows),
        buttons=_offer(talk, svc),
    )


@verb("env set SVC [KEY]", Action.EDIT_ENV, caution=_CAUTION)
async def env_set(talk: Talk, *, svc: str, key: str = "") -> Reply:
    """Sets a variable and deploys it. The value is asked for in a form, so that it is in no message.

    Example: `/o8 env set web DATABASE_URL`
    """
    await talk.services.store.service(svc)
    fields = (
        *([] if key else [Field("key", "Name", hint="Such as DATABASE_URL.")]),
        Field("value", f"Value of {key}"[:48] if key else "Value", "secret"),
    )
    fixed = {"svc": svc} | ({"key": key} if key else {})
    return Reply("The value is asked for in a form.", form=Form("env set", f"Set for {svc}"[:24], "Set", fields, fixed))


@form("env set", Action.EDIT_ENV)
async def env_set_form(talk: Talk, *, svc: str, key: str, value: str) -> Reply:
    """What the form of `env set` asks for."""
    key = key.strip()  # and a line end comes along when a value is copied
    deployment = await talk.commands.set_environment(svc, {key: value.removesuffix("\n")})
    if deployment is None:
        return Reply(f"{key} of {svc} is set; it counts from the next start.")
    return await begun(talk, deployment)


@verb("env unset SVC KEY", Action.EDIT_ENV, writes=True, caution=_CAUTION)
async def env_unset(talk: Talk, *, svc: str, key: str) -> Reply:
    """Removes a variable and deploys that.

    Example: `/o8 env unset web DEBUG`
    """
    deployment = await talk.commands.unset_environment(svc, [key])
    if deployment is None:
        return Reply(f"{key} of {svc} is gone; that counts from the next start.")
    return await begun(talk, deployment)


def _since(name: str, revisions: Sequence[EnvironmentRevision]) -> EnvironmentRevision:
    """The oldest of the newest revisions that all have `name`: the one that set it, this time."""
    *_, first = takewhile(lambda revision: name in revision.names, revisions)
    return first


def _offer(talk: Talk, svc: str) -> tuple[Button, ...]:
    return (Button("Set one", f"env set {svc}"),) if talk.may(Action.EDIT_ENV, svc) else ()
