"""Who asks GitHub: nobody, a token, or an App with tokens that it gets for an hour."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from bot.errors import GitHubError, GitHubNotInstalled, GitHubRefused, SettingsError

if TYPE_CHECKING:
    from bot.github.transport import GitHub

BACKDATED_S, VALID_S = 60, 540  # clocks differ; GitHub takes ten minutes at most
RENEWED_S = 300  # before an installation token ends
YOUNG_S, YOUNG_PAUSE_S = 10.0, 1.0  # a token that was just made may be refused for some seconds
MOST_TRIES = 5
REMEMBERED_S = 60.0  # that the App is not installed somewhere


class Login(Protocol):
    async def authorization(self, github: GitHub) -> str:
        """The header's value; empty for nobody."""

    async def may_try_again(self, authorization: str, attempt: int) -> bool:
        """After a 401 to `authorization`, the `attempt`th: whether it may go better now. Waits first when it must."""


class TokenLogin:
    """A personal access token; empty: nobody, who sees what is public."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def authorization(self, github: GitHub) -> str:
        return f"Bearer {self._token}" if self._token else ""

    async def may_try_again(self, authorization: str, attempt: int) -> bool:
        return False


class AppLogin:
    """The App itself. `of` gives what it is for one owner's installation.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
    """

    def __init__(self, client_id: str, key: str) -> None:
        """`key`: the App's private key in PEM. Raises `SettingsError` when it is none."""
        import jwt  # takes a megabyte, and most have no App

        self._client_id = client_id
        self._key = key
        self._installations: dict[str, _Installation] = {}
        try:
            self._signed()
        except (ValueError, TypeError, AttributeError, jwt.exceptions.PyJWTError):  # whatever key of another kind
            raise SettingsError(["GITHUB_APP_KEY = (hidden): expected a private RSA key in PEM"]) from None

    async def authorization(self, github: GitHub) -> str:
        return f"Bearer {self._signed()}"

    async def may_try_again(self, authorization: str, attempt: int) -> bool:
        return False

    def of(self, owner: str) -> Login:
        """With the rights that `owner` gave; asked for when it is first used."""
        return self._installations.setdefault(owner.lower(), _Installation(self, owner))

    def _signed(self) -> str:
        import jwt

        now = int(time.time())
        # PyJWT refuses an `iss` that is no string: https://github.com/jpadilla/pyjwt/issues/1039
        claims = {"iat": now - BACKDATED_S, "exp": now + VALID_S, "iss": str(self._client_id)}
        return jwt.encode(claims, self._key, algorithm="RS256")


class _Installation:
    def __init__(self, app: AppLogin, owner: str) -> None:
        self._app = app
        self._owner = owner
        self._token = ""
        self._ends = 0.0
        self._made_at = 0.0
        self._missing_since = -REMEMBERED_S
        self._renewing = asyncio.Lock()

    async def authorization(self, github: GitHub) -> str:
        """Raises `GitHubNotInstalled`."""
        async with self._renewing:
            if not self._token or time.time() > self._ends - RENEWED_S:
                await self._renew(github)
            return f"Bearer {self._token}"

    async def may_try_again(self, authorization: str, attempt: int) -> bool:
        """Yes: with the same token when it is young, else with another one, because it was revoked."""
        if attempt >= MOST_TRIES:
            return False
        if time.monotonic() - self._made_at < YOUNG_S:
            await asyncio.sleep(YOUNG_PAUSE_S * attempt)
        elif authorization == f"Bearer {self._token}":  # nobody else has renewed it meanwhile
            self._token = ""
        return True

    async def _renew(self, github: GitHub) -> None:
        id = await self._id(github)
        found = (await github.call("POST", f"/app/installations/{id}/access_tokens", self._app)).body
        try:
            self._ends = datetime.fromisoformat(str(found["expires_at"])).timestamp()
            self._token = str(found["token"])
        except (KeyError, TypeError, ValueError):
            raise GitHubError(f"GitHub gave the App no usable token for {self._owner}.") from None
        self._made_at = time.monotonic()

    async def _id(self, github: GitHub) -> int:
        if time.monotonic() - self._missing_since < REMEMBERED_S:
            raise GitHubNotInstalled(self._owner)
        for kind in ("orgs", "users"):
            try:
                found = (await github.get(f"/{kind}/{quote(self._owner, safe='')}/installation", self._app)).body
                return _number(found)
            except GitHubRefused as refusal:
                if refusal.status != 404:
                    raise
        self._missing_since = time.monotonic()
        raise GitHubNotInstalled(self._owner)


def _number(found: Any) -> int:
    id = found.get("id") if isinstance(found, dict) else None
    if not isinstance(id, int):
        raise GitHubError("GitHub did not say which number the App's installation has.")
    return id
