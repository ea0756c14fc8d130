"""Users, their rights, and the Slack accounts that speak for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from bot.errors import Conflict
from bot.permissions import GLOBAL, Action
from handlers.api.routing import Call, Nothing, Route, Text, Values

Username = Annotated[Text, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$")]
SlackId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")]


class NewUser(Values):
    username: Username


class Right(Values):
    action: Action
    scope: Annotated[Text, Field(max_length=100)]


class NewGrant(Right):
    seconds: int | None = Field(None, ge=60, le=366 * 86400)


class SlackAccount(Values):
    """`team`: empty for the workspace that o8 is connected to."""

    slack_user: SlackId
    team: Annotated[str, Field(pattern=r"^([TE][A-Z0-9]{2,20})?$")] = ""


class NewLink(SlackAccount):
    username: Username


class NewAdmin(SlackAccount):
    """`username`: what a new user is called; empty: as the account's id."""

    username: Username | Literal[""] = ""


async def everyone(call: Call[None, Nothing]) -> list[dict[str, Any]]:
    """All users with their rights."""
    return [user.model_dump(mode="json") for user in await call.services.store.users()]


async def add(call: Call[NewUser, Nothing]) -> dict[str, Any]:
    """Adds somebody without any right yet."""
    return (await call.commands.add_user(call.body.username)).model_dump(mode="json")


async def remove(call: Call[None, Nothing]) -> dict[str, Any]:
    """Removes somebody with all their rights."""
    await call.commands.remove_user(call.name)
    return {"username": call.name, "is_removed": True}


async def grant(call: Call[NewGrant, Nothing]) -> dict[str, Any]:
    """Gives a right, for ever or for some seconds."""
    until = datetime.now(UTC) + timedelta(seconds=call.body.seconds) if call.body.seconds else None
    await call.commands.grant(call.name, call.body.action, call.body.scope, until)
    return (await call.services.store.user(call.name)).model_dump(mode="json")


async def revoke(call: Call[None, Right]) -> dict[str, Any]:
    """Takes a right away."""
    await call.commands.revoke(call.name, call.query.action, call.query.scope)
    return (await call.services.store.user(call.name)).model_dump(mode="json")


async def link(call: Call[NewLink, Nothing]) -> dict[str, Any]:
    """Lets a Slack account speak for a user."""
    user = await call.commands.link_slack(await _team(call), call.body.slack_user, call.body.username)
    return user.model_dump(mode="json")


async def slack_admin(call: Call[NewAdmin, Nothing]) -> dict[str, Any]:
    """Makes a Slack account admin of everything."""
    account, name = call.body.slack_user, call.body.username or call.body.slack_user.lower()
    user = await call.commands.grant_slack(await _team(call), account, name, Action.ADMIN, GLOBAL)
    return user.model_dump(mode="json")


async def slack_code(call: Call[None, Nothing]) -> dict[str, Any]:
    """A code that makes its sender in Slack admin of everything: once, within half an hour."""
    return {"code": await call.commands.new_code()}


async def _team(call: Call[Any, Any]) -> str:
    team = call.body.team or await call.services.store.remembered("slack_team")
    if not team:
        raise Conflict("o8 was never connected to Slack.", "docs/slack.md says how; or name the workspace with --team.")
    return str(team)


ROUTES = (
    Route("GET", "/users", everyone),
    Route("POST", "/users", add, body=NewUser, status=201),
    Route("DELETE", "/users/{name}", remove),
    Route("POST", "/users/{name}/grants", grant, body=NewGrant),
    Route("DELETE", "/users/{name}/grants", revoke, query=Right),
    Route("POST", "/slack/links", link, body=NewLink),
    Route("POST", "/slack/admins", slack_admin, body=NewAdmin),
    Route("POST", "/slack/code", slack_code),
)
