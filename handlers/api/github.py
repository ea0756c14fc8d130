"""The webhook at GitHub."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from bot.findings import Finding
from bot.permissions import Action
from handlers.access import globally
from handlers.api.routing import Call, Nothing, Route, Values

# https://docs.github.com/en/enterprise-cloud@latest/admin/identity-and-access-management/iam-configuration-reference/username-considerations-for-external-authentication
Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$")]
Repository = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._-]{0,99}[A-Za-z0-9_-])?$")]


class Asked(Values):
    """`owner` empty: all of GITHUB_OWNERS, or those whose images services use."""

    owner: Owner | Annotated[str, StringConstraints(pattern=r"^$")] = ""


class Wanted(Values):
    """`repository` empty: the webhook is for all packages of `owner`. `dry_run`: only say what would be done."""

    owner: Owner
    repository: Repository = ""
    dry_run: bool = False


async def check(call: Call[None, Asked]) -> list[Finding]:
    """Why deliveries do not arrive, from GitHub's records; takes as long as GitHub."""
    return list(await call.services.webhooks.check.check(call.query.owner))


async def set_up(call: Call[Wanted, Nothing]) -> list[Finding]:
    """Makes or mends the webhook and waits for its ping; takes as long as GitHub."""
    asked = call.body
    return list(await call.commands.set_up_webhook(asked.owner, asked.repository, is_dry_run=asked.dry_run))


ROUTES = (
    Route("GET", "/github/webhook", check, globally(Action.ADMIN), list[Finding], query=Asked),
    Route("POST", "/github/webhook", set_up, globally(Action.ADMIN), list[Finding], body=Wanted),
)
