"""The environment in chat: names in replies, values in forms only."""

from __future__ import annotations

from bot.errors import InvalidInput
from bot.permissions import Action
from handlers.chatops import names
from handlers.chatops.registry import form, verb
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.deploying import begun


@verb("env SVC", Action.VIEW_ENV)
async def env(talk: Talk, *, svc: str) -> Reply:
    """Which variables a service has, since when and by whom; never their values."""
    service = await talk.services.store.service(svc)
    revisions = await talk.services.store.environment_revisions(svc)
    if not revisions or not revisions[0].names:
        return Reply(f"{svc} has no environment variables.", buttons=(Button("Set one", f"env set {svc}"),))
    rows = []
    for name in revisions[0].names:
        first = next(r for r in reversed(revisions) if name in r.names)
        rows.append((name, names.when(first.created_at), await names.person(talk.services.authority, first.actor)))
    newest = revisions[0]
    by = await names.person(talk.services.authority, newest.actor)
    return Reply(
        f"{svc} has {len(rows)} variables, revision {service.environment_revision}.",
        (f"Last changed {names.when(newest.created_at)} by {by}.",),
        table=(("name", "since", "by"), *rows),
        buttons=(Button("Set one", f"env set {svc}"),) if talk.may(Action.EDIT_ENV, svc) else (),
    )


@verb("env set SVC [KEY]", Action.EDIT_ENV)
async def env_set(talk: Talk, *, svc: str, key: str = "") -> Reply:
    """Sets a variable and deploys it. The value is asked for in a form, so that it is in no message.

    Example: `/o8 env set web DATABASE_URL`
    """
    if "=" in key:
        name = key.partition("=")[0][:80]
        raise InvalidInput(
            "A value does not belong into a message: Slack keeps this one in its history now.",
            f"If it is a secret, replace it. `/o8 env set {svc} {name}` asks for the value in a form.",
        )
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
    deployment = await talk.commands.set_environment(svc, {key: value})
    if deployment is None:
        return Reply(f"{key} of {svc} is set; it counts from the next start.")
    return await begun(talk, deployment)


@verb("env unset SVC KEY", Action.EDIT_ENV, writes=True)
async def env_unset(talk: Talk, *, svc: str, key: str) -> Reply:
    """Removes a variable and deploys that.

    Example: `/o8 env unset web DEBUG`
    """
    deployment = await talk.commands.unset_environment(svc, [key])
    if deployment is None:
        return Reply(f"{key} of {svc} is gone; that counts from the next start.")
    return await begun(talk, deployment)
