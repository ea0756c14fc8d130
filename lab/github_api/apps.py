"""GitHub Apps: the JWT of the App, tokens of its installations.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.github_api.server import CALLER, Caller, Part, refusal

CLIENT_ID = "Iv23liAcmeOrchestr8"
LONGEST_S = 600  # from now to the end of a JWT
LIFE_S = 3600  # of an installation token
SKEW_S = 5  # by which `iat` may be in the future


class Apps(Part):
    """One App with the private key `app_key`, installed at `installations` (owner to number).

    `clock_ahead_s`: GitHub's clock against ours. `young_refusals`: how often a new token is refused at first.
    `issued` has each installation token with its owner and its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.installations: dict[str, int] = {}
        self.clock_ahead_s = 0.0
        self.young_refusals = 0
        self.issued: dict[str, tuple[str, float]] = {}
        self._refused: dict[str, int] = {}

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)  # takes 60 ms, which few tests need

    @property
    def app_key(self) -> str:
        """In PEM, as GitHub gives it out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return pem.decode()

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/app", self._app),
            web.get("/{kind:users|orgs}/{owner}/installation", self._installation),
            web.post("/app/installations/{id}/access_tokens", self._access_token),
            web.get("/installation/repositories", self._repositories),
        ]

    def caller(self, authorization: str) -> Caller | str:
        token = authorization.removeprefix("Bearer ")
        if token.count(".") == 2:
            return self._checked(token)
        if token in self.issued:
            owner, end = self.issued[token]
            if self._refused.get(token, 0) > 0:
                self._refused[token] -= 1
                return "Bad credentials"
            return Caller("installation", owner) if self._now() < end else "Bad credentials"
        return super().caller(authorization)

    def _now(self) -> float:
        return time.time() + self.clock_ahead_s

    def _checked(self, token: str) -> Caller | str:
        """https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app"""
        try:
            claims = jwt.decode(token, self._key.public_key(), algorithms=["RS256"], options={
                "verify_exp": False, "verify_iat": False, "require": ["iat", "exp", "iss"],
            })  # fmt: skip
        except jwt.exceptions.PyJWTError:
            return "A JSON web token could not be decoded"
        now = self._now()
        if claims["iss"] != CLIENT_ID:
            return "'Issuer' claim ('iss') must be the App's client id"
        if claims["iat"] > now + SKEW_S:
            return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        if not now < claims["exp"] <= now + LONGEST_S:
            return "'Expiration time' claim ('exp') is too far in the future"
        return Caller("app")

    async def _app(self, request: web.Request) -> web.Response:
        if request[CALLER].kind != "app":
            return refusal(401, "A JSON web token could not be decoded")
        return web.json_response({"id": 7, "client_id": CLIENT_ID, "slug": "orchestr8", "events": self.app_events})

    async def _installation(self, request: web.Request) -> web.Response:
        if request[CALLER].kind != "app":
            return refusal(401, "A JSON web token could not be decoded")
        owner = request.match_info["owner"]
        if not self.is_kind(request):
            return refusal(404, "Not Found")
        found = next((id for name, id in self.installations.items() if name.lower() == owner.lower()), 0)
        return web.json_response({"id": found}) if found else refusal(404, "Not Found")

    async def _access_token(self, request: web.Request) -> web.Response:
        if request[CALLER].kind != "app":
            return refusal(401, "A JSON web token could not be decoded")
        owner = next((n for n, id in self.installations.items() if str(id) == request.match_info["id"]), "")
        if not owner:
            return refusal(404, "Not Found")
        token, end = f"ghs_{secrets.token_hex(18)}", self._now() + LIFE_S
        self.issued[token] = (owner, end)
        self._refused[token] = self.young_refusals
        ends = datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return web.json_response({"token": token, "expires_at": ends}, status=201)

    async def _repositories(self, request: web.Request) -> web.Response:
        if request[CALLER].kind != "installation":
            return refusal(403, "You must authenticate with an installation access token")
        return web.json_response({"total_count": 0, "repositories": []})
