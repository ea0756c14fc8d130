"""A token service that answers as GHCR's does, for a registry with `auth: token`.

https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import datetime
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from aiohttp import BasicAuth, web

from lab.certificates import Identity, identity

SERVICE = "lab.registry"
ISSUER = "lab.tokens"


class TokenService:
    """Users, what they may read, and every scope that a token was asked for.

    `passwords` maps users to tokens (PATs); `readers` maps a private repository to the users who may read it;
    other repositories are public. `expires_in` is in seconds. With `gives_empty_tokens` a missing right shows
    only at the registry (`insufficient_scope`), as at Docker Hub; else the service says DENIED, as GHCR does.
    """

    def __init__(self, passwords: dict[str, str]) -> None:
        self.passwords = passwords
        self.readers: dict[str, set[str]] = {}
        self.expires_in: int = 300
        self.gives_empty_tokens = False
        self.asked: list[str] = []

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/token", self._answer)
        return application

    def issue(self, access: list[dict[str, Any]], user: str = "") -> str:
        """A signed token for `access`: `{"type": "repository", "name": ..., "actions": [...]}` and so on."""
        signer = _identity()
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        claims = {
            "iss": ISSUER, "sub": user, "aud": SERVICE, "jti": uuid.uuid4().hex,
            "iat": now, "nbf": now - 10, "exp": now + max(self.expires_in, 60), "access": access,
        }  # fmt: skip
        chain = [base64.b64encode(signer.certificate_der).decode()]
        return jwt.encode(claims, signer.key_pem, algorithm="RS256", headers={"x5c": chain})

    async def _answer(self, request: web.Request) -> web.Response:
        scope = request.query.get("scope", "")
        self.asked.append(scope)
        user = ""
        if authorization := request.headers.get("Authorization"):
            login = BasicAuth.decode(authorization)
            user = login.login
            if self.passwords.get(user) != login.password:
                return _refusal(403, "DENIED", "denied")
        access = []
        if scope:
            kind, name, actions = scope.split(":")
            if self._may_read(user, name):
                access = [{"type": kind, "name": name, "actions": actions.split(",")}]
            elif not self.gives_empty_tokens:
                if not user:
                    return _refusal(401, "UNAUTHORIZED", "authentication required")
                return _refusal(403, "DENIED", "requested access to the resource is denied")
        return web.json_response({"token": self.issue(access, user), "expires_in": self.expires_in})

    def _may_read(self, user: str, name: str) -> bool:
        return name not in self.readers or user in self.readers[name]


def write_certificate(path: Path) -> None:
    """The certificate a registry checks tokens with (`rootcertbundle`)."""
    path.write_bytes(_identity().certificate_pem)


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


@cache
def _identity() -> Identity:
    return identity(ISSUER)
