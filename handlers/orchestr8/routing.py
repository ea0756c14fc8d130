"""What a call of the original's API is: read leniently, as its front end sends more than is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from bot.errors import InvalidInput
from bot.permissions import Person
from bot.problems import explain
from bot.services import Services
from handlers import access
from handlers.access import Access
from handlers.commands import Commands


class Body(BaseModel):
    """What a request brings; what is not known is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Asked:
    """One request and who sent it."""

    services: Services
    commands: Commands
    request: web.Request
    person: Person

    @property
    def name(self) -> str:
        """The service or user in the path."""
        return self.request.match_info["name"]

    async def body(self, model: type[B]) -> B:
        """The body as `model`; raises `InvalidInput`."""
        try:
            values = orjson.loads(await self.request.read())
        except orjson.JSONDecodeError:
            raise InvalidInput("The body is not JSON.", "A JSON object is expected.") from None
        try:
            return model.model_validate(values)
        except ValidationError as error:
            words = "; ".join(f"{problem.where or 'body'}: {problem.text}" for problem in explain(error))
            raise InvalidInput(f"{words}.") from None


Handler = Callable[[Asked], Awaitable[Any]]


class Route(NamedTuple):
    method: str
    path: str
    handler: Handler
    access: Access


def bound(route: Route, services: Services) -> web.RouteDef:
    async def handle(request: web.Request) -> web.StreamResponse:
        commands = Commands(services, access.caller_of(request).actor)
        found = await route.handler(Asked(services, commands, request, access.person_of(request)))
        if isinstance(found, web.StreamResponse):
            return found
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    return web.route(route.method, route.path, access.guarded(services, route.access, handle, "original"))


def done(message: str, **more: Any) -> dict[str, Any]:
    """How the original says that something was done."""
    return {"success": True, "message": message, **more}
