"""Users, their rights, and the Slack accounts that speak for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from bot.accounts import User
from bot.errors import Conflict
from bot.models import Model
from bot.permissions import GLOBAL, Action, service_of
from handlers.access import globally, named
from handlers.api.routing import Call, Nothing, Route, Text, Values

Username = Annotated[Text, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$")]
SlackId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")]


class Right(Values):
    action: Action
    scope: Annotated[Text, Field(max_length=100)]


class NewUser(Values):
    """`password`: for API and dashboard; without one they use o8 from Slack only."""

    username: Username
    password: Annotated[Text, Field(max_length=1024, repr=False)] = ""
    rights: Annotated[list[Right], Field(max_length=200)] = []


class Rights(Values):
    rights: Annotated[list[Right], Field(max_length=200)]


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


class NewLogin(Values):
    """`login` at GitHub, in any case."""

    login: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$")]
    username: Username


class RemovedLogin(Model):
    login: str
    username: str
    is_removed: bool = True


class RemovedUser(Model):
    username: str
    is_removed: bool = True


class NewCode(Model):
    """For `/o8 hello CODE`."""

    code: str


async def everyone(call: Call[None, Nothing]) -> list[User]:
    """All users with their rights."""
    return list(await call.services.store.users())


async def add(call: Call[NewUser, Nothing]) -> User:
    """Adds somebody, with a password and rights or without."""
    rights = [(right.action, right.scope) for right in call.body.rights]
    return await call.commands.add_user(call.body.username, call.body.password, rights)


async def set_rights(call: Call[Rights, Nothing]) -> User:
    """Gives somebody exactly these rights."""
    return await call.commands.set_rights(call.name, [(right.action, right.scope) for right in call.body.rights])


async def remove(call: Call[None, Nothing]) -> RemovedUser:
    """Removes somebody with all their rights."""
    await call.commands.remove_user(call.name)
    return RemovedUser(username=call.name)


async def grant(call: Call[NewGrant, Nothing]) -> User:
    """Gives a right, for ever or for some seconds."""
    until = datetime.now(UTC) + timedelta(seconds=call.body.seconds) if call.body.seconds else None
    await call.commands.grant(call.name, call.body.action, call.body.scope, until)
    return await _as_seen(call)


async def revoke(call: Call[None, Right]) -> User:
    """Takes a right away."""
    await call.commands.revoke(call.name, call.query.action, call.query.scope)
    return await _as_seen(call)


async def link(call: Call[NewLink, Nothing]) -> User:
    """Lets a Slack account speak for a user."""
    return await call.commands.link_slack(await _team(call), call.body.slack_user, call.body.username)


async def link_github(call: Call[NewLogin, Nothing]) -> User:
    """Says whose a login at GitHub is, so that cards name them; it gives no rights."""
    return await call.commands.link_github(call.body.login, call.body.username)


async def unlink_github(call: Call[None, Nothing]) -> RemovedLogin:
    """Takes a login at GitHub from whose it was."""
    return RemovedLogin(username=await call.commands.unlink_github(call.name), login=call.name.lower())


async def slack_admin(call: Call[NewAdmin, Nothing]) -> User:
    """Makes a Slack account admin of everything."""
    account, name = call.body.slack_user, call.body.username or call.body.slack_user.lower()
    return await call.commands.grant_slack(await _team(call), account, name, Action.ADMIN, GLOBAL)


async def slack_code(call: Call[None, Nothing]) -> NewCode:
    """A code that makes its sender in Slack admin of everything: once, within half an hour."""
    return NewCode(code=await call.commands.new_code())


async def _as_seen(call: Call[Any, Any]) -> User:
    """The user in the path, with rights only where the one who asks sees something: other services stay unknown."""
    user = await call.services.store.user(call.name)
    seen = tuple(grant for grant in user.grants if call.person.may(Action.VIEW_STATUS, service_of(grant.scope)))
    return user.model_copy(update={"grants": seen})


async def _team(call: Call[Any, Any]) -> str:
    team = call.body.team or await call.services.store.remembered("slack_team")
    if not team:
        raise Conflict("o8 was never connected to Slack.", "docs/slack.md says how; or name the workspace with --team.")
    return str(team)


ROUTES = (
    Route("GET", "/users", everyone, globally(Action.ADMIN), list[User]),
    Route("POST", "/users", add, globally(Action.ADMIN), User, body=NewUser, status=201),
    Route("DELETE", "/users/{name}", remove, globally(Action.ADMIN), RemovedUser),
    Route("PUT", "/users/{name}/grants", set_rights, globally(Action.ADMIN), User, body=Rights),
    Route("POST", "/users/{name}/grants", grant, named(Action.ADMIN), User, body=NewGrant),
    Route("DELETE", "/users/{name}/grants", revoke, named(Action.ADMIN), User, query=Right),
    Route("POST", "/slack/links", link, globally(Action.ADMIN), User, body=NewLink),
    Route("POST", "/github/links", link_github, globally(Action.ADMIN), User, body=NewLogin),
    Route("DELETE", "/github/links/{name}", unlink_github, globally(Action.ADMIN), RemovedLogin),
    Route("POST", "/slack/admins", slack_admin, globally(Action.ADMIN), User, body=NewAdmin),
    Route("POST", "/slack/code", slack_code, globally(Action.ADMIN), NewCode, is_kept=False),
)
