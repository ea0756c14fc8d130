"""Why a registry said no. Wrong password and missing right look alike (401, 403) until one asks again."""

from __future__ import annotations

from yarl import URL

from bot.errors import AccessDenied, RegistryError, WrongCredentials
from bot.registry.auth import Caller, Refused
from bot.registry.transport import base_url, host_of


async def explain_refusal(caller: Caller, url: URL, repository: str, accept: str, name: str) -> RegistryError:
    """The error for a GET of `url` that `caller` was refused; `name` is what people call the wanted thing.

    Wrong credentials make even public images fail, so it says whether the same works without any.
    Raises `RegistryUnavailable` when the registry can no longer be asked.
    """
    host = host_of(url)
    if not caller.has_credentials_for(host):
        return AccessDenied(
            f"{name} is private or does not exist, and o8 has no credentials for {host}.",
            f"Set DOCKER_USERNAME and GITHUB_PAT (a classic token with `read:packages`) for {host}.",
        )
    is_public = await _is_allowed(caller.as_nobody(), url, repository, accept)
    without = f"{name} {'can be read without any' if is_public else 'cannot be read without any either'}."
    if not await is_known(caller, host):
        return wrong_credentials(host, without)
    return AccessDenied(
        f"{host} accepts the credentials, but they give no right to read {name}. {without}",
        "Use a classic token (PAT) with `read:packages` whose owner may read the package.",
    )


async def is_known(caller: Caller, host: str) -> bool:
    """Whether the registry takes the caller's credentials, apart from any image."""
    return await _is_allowed(caller.anew(), base_url(host) / "v2/")


def wrong_credentials(host: str, remark: str = "") -> WrongCredentials:
    return WrongCredentials(
        f"{host} does not accept the user name and password. {remark}".strip(),
        "Check DOCKER_USERNAME and DOCKER_PASSWORD or GITHUB_PAT: a token may have expired.",
    )


async def _is_allowed(caller: Caller, url: URL, repository: str = "", accept: str = "*/*") -> bool:
    try:
        return (await caller.get(url, repository, accept)).status == 200
    except Refused:
        return False
