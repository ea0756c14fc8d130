"""Rights in chat: give, take, ask for, look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.accounts import AccessRequest, User
from bot.errors import NotFound
from bot.permissions import GLOBAL, Action, service_of
from handlers.chatops import names
from handlers.chatops.registry import verb
from handlers.chatops.reply import Reply
from handlers.chatops.talk import Talk
from handlers.chatops.words import SLACK_ID


@verb("hello CODE", None, is_open=True)
async def hello(talk: Talk, *, code: str) -> Reply:
    """Makes you the first admin, with the code that `o8 slack code` prints on the server."""
    username = await talk.stage.name_of(talk.place.user)
    if await talk.services.authority.redeem_code(code, talk.place.team, talk.place.user, username):
        return Reply("Welcome: you are admin of everything.", ("`/o8 help` says what you can do.",))
    return Reply(
        "That code is wrong, used or too old.", ("`o8 slack code` on the server makes a new one.",), is_refusal=True
    )


@verb("grant WHO ACTION SCOPE [--for DURATION]", None, writes=True, is_for_admins=True)
async def grant(talk: Talk, *, who: str, action: Action, scope: str, for_: timedelta | None = None) -> Reply:
    """Gives somebody a right; you must be admin of that scope.

    Example: `/o8 grant @ada deploy service:web --for 8h`
    """
    until = datetime.now(UTC) + for_ if for_ else None
    if SLACK_ID.fullmatch(who):
        name = await talk.stage.name_of(who)
        user = await talk.commands.grant_slack(talk.place.team, who, name, action, scope, until)
        await talk.stage.tell(who, f"{talk.person.username} gave you `{action}` in `{scope}`{_until(until)}.")
    else:
        await talk.commands.grant(who, action, scope, until)
        user = await talk.services.store.user(who)
    return Reply(f"{user.username} has {action} in {scope}{_until(until)}.")


@verb("revoke WHO ACTION SCOPE", None, writes=True, is_for_admins=True)
async def revoke(talk: Talk, *, who: str, action: Action, scope: str) -> Reply:
    """Takes a right away; you must be admin of that scope. What they have asked for and does not run yet is refused.

    Example: `/o8 revoke @ada deploy service:web`
    """
    await talk.services.authority.require(talk.person.actor, Action.ADMIN, service_of(scope))
    user = await _user(talk, who)
    await talk.commands.revoke(user.username, action, scope)
    return Reply(f"{user.username} has {action} in {scope} no more.")


@verb("access [TEXT]", None)
async def access(talk: Talk, *, text: str = "") -> Reply:
    """Who may do what: everything you are admin of, one person, or one service. Others see their own rights.

    Example: `/o8 access web`, `/o8 access @ada`
    """
    wanted = text.strip().lstrip("@").removeprefix("<").removesuffix(">").lstrip("@").partition("|")[0]
    rows = []
    for user in await talk.services.store.users():
        is_oneself = user.username == talk.person.username
        for given in user.grants:
            if not (is_oneself or talk.may(Action.ADMIN, service_of(given.scope))):
                continue
            is_meant = wanted in ("", user.username, service_of(given.scope)) or any(
                account.endswith(f":{wanted}") for account in user.slack
            )
            if is_meant or (given.scope == GLOBAL and wanted in await talk.seen()):
                until = names.when(given.expires_at) if given.expires_at else ""
                rows.append((user.username, given.action.value, given.scope, until, given.granted_by))
    if not rows:
        return Reply("There is nothing that you may see.", ("`/o8 whoami` shows your own rights.",))
    named = [(*row[:4], await names.person(talk.services.authority, row[4])) for row in rows[:100]]
    return Reply(
        f"{len(rows)} right{'s' * (len(rows) != 1)}.", table=(("who", "may", "in", "until", "given by"), *named)
    )


@verb("request ACTION SCOPE -- REASON", None, writes=True)
async def request(talk: Talk, *, action: Action, scope: str, reason: str) -> Reply:
    """Asks those who can grant it for a right; they get a message with buttons.

    Example: `/o8 request deploy service:web -- on call this week`
    """
    if service := service_of(scope):  # what one may not see, one cannot ask for by its name
        await talk.services.authority.require(talk.person.actor, Action.VIEW_STATUS, service)
    id = await talk.commands.request_access(action, scope, reason)
    granters = await talk.services.authority.granters(scope)
    return Reply(f"Request {id} is made. {' or '.join(granters) or 'An admin'} can grant it.")


@verb("grant-request ID [--for DURATION]", None, writes=True, is_for_admins=True)
async def grant_request(talk: Talk, *, id: int, for_: timedelta | None = None) -> Reply:
    """Grants what somebody has asked for; never your own wish."""
    until = datetime.now(UTC) + for_ if for_ else None
    return await _decided(talk, await talk.commands.decide_request(id, is_granted=True, expires_at=until), until)


@verb("deny-request ID", None, writes=True, is_for_admins=True)
async def deny_request(talk: Talk, *, id: int) -> Reply:
    """Denies what somebody has asked for."""
    return await _decided(talk, await talk.commands.decide_request(id, is_granted=False), None)


@verb("link WHO USERNAME", Action.ADMIN, writes=True)
async def link(talk: Talk, *, who: str, username: str) -> Reply:
    """Lets a Slack account speak for a user of o8.

    Example: `/o8 link @ada ada`
    """
    if not SLACK_ID.fullmatch(who):
        raise NotFound(f"{who!r:.80} is no account of Slack.", "Type @ and choose the person.")
    await talk.commands.link_slack(talk.place.team, who, username)
    return Reply(f"That account speaks for {username} now.")


@verb("link-github WHO LOGIN", Action.ADMIN, writes=True)
async def link_github(talk: Talk, *, who: str, login: str) -> Reply:
    """Says whose a login at GitHub is, so that cards name them; it gives no rights.

    Example: `/o8 link-github @ada ada-l`
    """
    user = await talk.commands.link_github(login, (await _user(talk, who)).username)
    return Reply(f"{login} at GitHub is {user.username} now.")


@verb("unlink-github LOGIN", Action.ADMIN, writes=True)
async def unlink_github(talk: Talk, *, login: str) -> Reply:
    """Takes a login at GitHub from whose it was."""
    username = await talk.commands.unlink_github(login)
    return Reply(f"{login} at GitHub is {username}'s no more.")


async def _decided(talk: Talk, request: AccessRequest, until: datetime | None) -> Reply:
    kind, _, account = request.actor.partition(":")
    if kind == "slack":
        words = f"`{request.action}` in `{request.scope}` was {request.state}{_until(until)} by {talk.person.username}."
        await talk.stage.tell(account.rpartition(":")[2], words)
    return Reply(f"Request {request.id} of {request.username} is {request.state}{_until(until)}.")


async def _user(talk: Talk, who: str) -> User:
    if not SLACK_ID.fullmatch(who):
        return await talk.services.store.user(who)
    found = await talk.services.store.owner_of_slack(talk.place.team, who)  # also of who has left
    if found is None:
        raise NotFound("o8 does not know that account.", "`/o8 access` shows who has a right.")
    return found


def _until(at: datetime | None) -> str:
    return f" until {names.when(at)}" if at else ""
