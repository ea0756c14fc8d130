"""Who o8 is to a registry: answers its challenges, Bearer or Basic, and remembers the tokens.

The flow is the CNCF distribution's: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import AliasChoices, BaseModel, Field, ValidationError
from yarl import URL

from bot.engines import Credentials
from bot.errors import RegistryError
from bot.registry.transport import Answer, Transport, base_url, check, host_of, is_loopback

_MARGIN_S = 10  # a token is not used in its last seconds: it must still be good when it arrives

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[\s,]|$)")
# Values with `:` or `/` must be quoted, but some registries send realm=https://... bare.
_VALUE = r'"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*)'
_PARAMETER = re.compile(rf"[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:{_VALUE})", re.DOTALL)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


class Challenge(NamedTuple):
    """One way to log in. Scheme and names of parameters in lower case, values exactly as sent."""

    scheme: str
    parameters: dict[str, str]


class Refused(Exception):
    """401 or 403 although everything was tried that the challenge allows. Never leaves `bot.registry`."""


class Caller:
    """Asks registries as one user. `credentials` are shown to the registry at `credentials.server` only."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials
        self._home = host_of(base_url(credentials.server)) if credentials.username else ""
        self._remembered: dict[tuple[str, str], tuple[str, float]] = {}  # -> Authorization, end (monotonic)

    def has_credentials_for(self, host: str) -> bool:
        return host == self._home

    def anew(self) -> Caller:
        """The same user without remembered tokens: an old one may outlive the password it was got with."""
        return Caller(self._transport, self._credentials)

    def as_nobody(self) -> Caller:
        return Caller(self._transport, Credentials("", "", ""))

    async def get(self, url: URL, repository: str = "", accept: str = "*/*") -> Answer:
        """The answer to GET `url`, logged in when the registry asks for it; tokens are kept per `repository`.

        Raises `Refused` and the `RegistryError`s of `Transport.get`; other statuses are answers.
        """
        key = (host_of(url), repository)
        answer = await self._transport.get(url, authorization=self._recall(key), accept=accept)
        if answer.status == 401 and not answer.is_redirected_away:
            self._remembered.pop(key, None)  # too old, revoked, or for another scope
            authorization, seconds = await self._log_in(host_of(url), parse_challenges(answer.challenges))
            answer = await self._transport.get(url, authorization=authorization, accept=accept)
            self._remember(key, authorization, seconds)
        if answer.status in (401, 403) and not answer.is_redirected_away:
            self._remembered.pop(key, None)
            raise Refused
        return answer

    def _recall(self, key: tuple[str, str]) -> str:
        authorization, end = self._remembered.get(key, ("", 0.0))
        return authorization if time.monotonic() < end else ""

    def _remember(self, key: tuple[str, str], authorization: str, seconds: float) -> None:
        now = time.monotonic()
        self._remembered = {k: v for k, v in self._remembered.items() if v[1] > now}
        self._remembered[key] = (authorization, now + seconds - _MARGIN_S)

    async def _log_in(self, host: str, challenges: Iterable[Challenge]) -> tuple[str, float]:
        """Value of `Authorization` and for how many seconds it is good."""
        known = {challenge.scheme: challenge.parameters for challenge in challenges}
        basic = _basic(self._credentials) if self.has_credentials_for(host) else ""
        if "bearer" in known:
            token = await self._fetch_token(host, known["bearer"], basic)
            return f"Bearer {token.text}", token.expires_in
        if "basic" in known and basic:
            return basic, math.inf
        raise Refused

    async def _fetch_token(self, host: str, parameters: dict[str, str], basic: str) -> _Token:
        answer = await self._transport.get(_token_url(host, parameters), authorization=basic)
        if answer.status in (401, 403):
            raise Refused
        check(answer)
        try:
            return _Token.model_validate_json(answer.body)
        except ValidationError:
            # Cut off: the cause would quote the body, which may hold a token.
            raise RegistryError(
                f"{host} gave no readable token.", "Check that this address is a container registry."
            ) from None


class _Token(BaseModel):
    """What a token service answers. Both names are in use; 60 s is the specification's default."""

    text: str = Field(pattern=r"^[\x21-\x7e]+$", validation_alias=AliasChoices("token", "access_token"))
    expires_in: float = Field(60, ge=0, allow_inf_nan=False)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Challenges of `WWW-Authenticate` lines (RFC 9110, 11.6.1), in order. An unreadable rest is dropped."""
    return [challenge for header in headers for challenge in _parse_line(header)]


def _parse_line(header: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    position = 0
    while position < len(header):
        if challenges and (found := _PARAMETER.match(header, position)):
            name, quoted, bare = found.groups()
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            challenges[-1].parameters.setdefault(name.lower(), value)
        elif found := _SCHEME.match(header, position):
            challenges.append(Challenge(found[1].lower(), {}))
            if opaque := _TOKEN68.match(header, found.end()):  # such as `Negotiate YII=`, of no use here
                found = opaque
        else:
            break
        position = found.end()
    return challenges


def _token_url(host: str, parameters: dict[str, str]) -> URL:
    """The realm with `service` and each scope as they came. Raises `RegistryError` when it is not safe."""
    try:
        realm = URL(parameters.get("realm", ""))
        is_safe = realm.scheme == "https" or (realm.scheme == "http" and is_loopback(realm))
    except ValueError:
        is_safe = False
    if not is_safe or realm.user is not None or realm.password is not None:
        raise RegistryError(
            f"{host} sends logins to an address that is not https.",
            "o8 shows it no credentials; ask the registry's owner.",
        )
    query = [("service", parameters["service"])] if "service" in parameters else []
    return realm.extend_query(query + [("scope", scope) for scope in parameters.get("scope", "").split()])


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()
