"""Who asks GitHub: nobody, a token, or an App with tokens that it gets for an hour."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import jwt

from bot.errors import GitHubRefused, SettingsError

if TYPE_CHECKING:
    from bot.github.transport import GitHub

BACKDATED_S, VALID_S = 60, 540  # clocks differ; GitHub takes ten minutes at most
RENEWED_S = 300  # before an installation token ends
YOUNG_TRIES, YOUNG_PAUSE_S = 4, 1.0  # a token that was just made may be refused for some seconds


class Login(Protocol):
    async def authorization(self, github: GitHub) -> str:
        """The header's value; empty for nobody."""


class TokenLogin:
    """A personal access token; empty: nobody, who sees what is public."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def authorization(self, github: GitHub) -> str:
        return f"Bearer {self._token}" if self._token else ""


class AppLogin:
    """The App itself. `of` gives what it is for one owner's installation.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
    """

    def __init__(self, client_id: str, key: str) -> None:
        """`key`: the App's private key in PEM. Raises `SettingsError` when it is none."""
        self._client_id = client_id
        self._key = key
        self._installations: dict[str, _Installation] = {}
        try:
            self._signed()
        except (ValueError, TypeError, jwt.exceptions.PyJWTError):
            raise SettingsError(["GITHUB_APP_KEY = (hidden): expected a private RSA key in PEM"]) from None

    async def authorization(self, github: GitHub) -> str:
        return f"Bearer {self._signed()}"

    def of(self, owner: str) -> Login:
        """With the rights that `owner` gave; asked for when it is first used."""
        return self._installations.setdefault(owner.lower(), _Installation(self, owner))

    def _signed(self) -> str:
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
        self._renewing = asyncio.Lock()

    async def authorization(self, github: GitHub) -> str:
        async with self._renewing:
            if time.time() > self._ends - RENEWED_S:
                await self._renew(github)
        return f"Bearer {self._token}"

    async def _renew(self, github: GitHub) -> None:
        """Raises `GitHubRefused` 404 when the App is not installed there."""
        id = await self._id(github)
        found = (await github.call("POST", f"/app/installations/{id}/access_tokens", self._app)).body
        token = str(found["token"])
        for attempt in range(1, YOUNG_TRIES + 1):
            try:
                await github.get("/installation/repositories?per_page=1", TokenLogin(token))
                break
            except GitHubRefused as refusal:
                if refusal.status != 401 or attempt == YOUNG_TRIES:
                    raise
                await asyncio.sleep(YOUNG_PAUSE_S * attempt)
        self._token, self._ends = token, datetime.fromisoformat(str(found["expires_at"])).timestamp()

    async def _id(self, github: GitHub) -> int:
        try:
            found = await github.get(f"/orgs/{self._owner}/installation", self._app)
        except GitHubRefused as refusal:
            if refusal.status != 404:
                raise
            found = await github.get(f"/users/{self._owner}/installation", self._app)
        return int(found.body["id"])
