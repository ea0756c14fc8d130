"""A service's environment: names for everybody who may ask, values only when asked for, and that is recorded."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bot.errors import InvalidInput
from bot.models import Deployment, Model
from bot.permissions import Action
from handlers.access import on_service
from handlers.api import representations as shown
from handlers.api.representations import ShownEnvironment, Summary
from handlers.api.routing import Call, Nothing, Route, Text, Values

_MOST_AT_ONCE = 200  # each one is an edit of the whole text


class ValuesToo(Values):
    values: bool = False


class Changes(Values):
    set: Annotated[dict[str, Text], Field(max_length=_MOST_AT_ONCE, repr=False)] = {}
    unset: Annotated[list[str], Field(max_length=_MOST_AT_ONCE)] = []


class Content(Values):
    content: Annotated[Text, Field(repr=False)]


class Changed(Model):
    """`deployment` is null while the service does not run."""

    revision: int
    deployment: Summary | None


async def show(call: Call[None, ValuesToo]) -> ShownEnvironment:
    """Names and revision; with `?values=1` also the text as written, which is recorded."""
    service = await call.services.store.service(call.name)
    revisions = await call.services.store.environment_revisions(call.name)
    content = await call.commands.read_environment(call.name) if call.query.values else None
    return shown.environment(service, next(iter(revisions), None), content)


async def change(call: Call[Changes, Nothing]) -> Changed:
    """Sets and removes single values; every other line stays as written."""
    if not call.body.set and not call.body.unset:
        raise InvalidInput("Neither set nor unset names anything.", 'Such as {"set": {"COLOUR": "blue"}}.')
    return await _changed(call, await call.commands.change_environment(call.name, call.body.set, call.body.unset))


async def write(call: Call[Content, Nothing]) -> Changed:
    """Replaces the whole text of the `.env` file, kept as written."""
    return await _changed(call, await call.commands.write_environment(call.name, call.body.content))


async def _changed(call: Call[Any, Any], deployment: Deployment | None) -> Changed:
    service = await call.services.store.service(call.name)
    return Changed(revision=service.environment_revision, deployment=shown.summary(deployment))


ROUTES = (
    Route("GET", "/services/{name}/environment", show, on_service(Action.VIEW_ENV), ShownEnvironment, query=ValuesToo),
    Route("PATCH", "/services/{name}/environment", change, on_service(Action.EDIT_ENV), Changed, body=Changes),
    Route("PUT", "/services/{name}/environment", write, on_service(Action.EDIT_ENV), Changed, body=Content),
)
