"""The environment of a service: names, values masked, and an editor that shows what would change before it does."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from aiohttp import web

from bot import environment
from bot.errors import InvalidInput, O8Error
from bot.permissions import Action
from handlers.access import on_service
from handlers.web.routing import Route, Visit


class Change(NamedTuple):
    """A line of the difference; values are masked."""

    sign: str
    text: str


async def show(visit: Visit) -> web.Response:
    """Names; with `?edit=1`, which is recorded, the text to be edited."""
    store, name = visit.services.store, visit.name
    service = await store.service(name)
    revisions = await store.environment_revisions(name)
    is_editing = "edit" in visit.request.query and visit.may(Action.EDIT_ENV, name)
    content = await visit.commands.read_environment(name) if is_editing else None
    names = revisions[0].names if revisions else ()
    return visit.render("environment.html", name=name, names=names, revisions=revisions[:20], content=content,
                        revision=service.environment_revision, changes=(), error=None)  # fmt: skip


async def save(visit: Visit) -> web.Response:
    """First shows what would change; the second time, `confirmed`, saves and deploys it."""
    sent, name = await visit.form(), visit.name
    content, store = sent.get("content", "").replace("\r\n", "\n"), visit.services.store
    service = await store.service(name)
    try:
        names = tuple(environment.parse(content))
        if sent.get("revision") != str(service.environment_revision):
            raise InvalidInput("Somebody else has changed it meanwhile.", "Look at it again; yours is below.")
        if "confirmed" in sent:
            deployment = await visit.commands.write_environment(name, content)
            return visit.go(f"/ui/deployments/{deployment.id}" if deployment else f"/ui/services/{name}/environment",
                            "" if deployment else "Saved; it is used from the next deployment on.")  # fmt: skip
        before = await visit.services.operations.environment(name)
        changes, error = differences(before, content), None
        if not changes:
            error = InvalidInput("Nothing has changed.", "Edit something, or leave.")
    except O8Error as trouble:
        names, changes, error = (), (), trouble  # type: ignore[assignment]
    status = 400 if error else 200
    return visit.render("environment.html", status, name=name, names=names, revisions=(), content=content,
                        revision=service.environment_revision, changes=changes, error=error)  # fmt: skip


def differences(before: str, after: str) -> tuple[Change, ...]:
    """Lines that go (`-`), come (`+`), and one around them; compared as written, shown without values."""
    old, new = environment.lines(before), environment.lines(after)
    matcher = difflib.SequenceMatcher(None, [line for line, _ in old], [line for line, _ in new], autojunk=False)
    found: list[Change] = []
    for group in matcher.get_grouped_opcodes(1):
        for kind, a, b, c, d in group:
            found += [Change("-" if kind != "equal" else " ", shown) for _, shown in old[a:b]]
            found += [Change("+", shown) for _, shown in new[c:d]] if kind != "equal" else []
    return tuple(found)


ROUTES = (
    Route("GET", "/ui/services/{name}/environment", show, on_service(Action.VIEW_ENV)),
    Route("POST", "/ui/services/{name}/environment", save, on_service(Action.EDIT_ENV)),
)
