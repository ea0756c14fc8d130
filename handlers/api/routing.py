"""What a call is: its route, who asks, its checked path, query and body. Only here are requests read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.errors import InvalidInput
from bot.problems import Problem, explain
from bot.services import Services
from handlers.api.caller import actor
from handlers.commands import Commands

PREFIX = "/api/v1"
LARGEST_ID = 2**63 - 1  # SQLite's integers


class Values(BaseModel):
    """What a request brings, checked whole; an unknown key is refused, so that a typing error is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Values):
    """For a request without body or query."""


def _without_zero_bytes(text: str) -> str:
    if "\0" in text:
        raise ValueError("expected text without zero bytes")
    return text


Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Limit = Annotated[int, Field(ge=1, le=500)]
Text = Annotated[str, AfterValidator(_without_zero_bytes)]
Body = TypeVar("Body")
Query = TypeVar("Query")
M = TypeVar("M", bound=BaseModel)


class _PathId(BaseModel):
    id: Id


@dataclass(frozen=True)
class Call(Generic[Body, Query]):
    """One request. Writes go through `commands`, which knows the actor; `services` is for questions."""

    services: Services
    commands: Commands
    request: web.Request
    body: Body
    query: Query

    @property
    def name(self) -> str:
        """The service in the path, as asked for: it may not exist."""
        return self.request.match_info["name"]

    @property
    def id(self) -> int:
        """The number in the path; raises `InvalidInput` when it is none."""
        return checked(_PathId, dict(self.request.match_info)).id


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


class Route(NamedTuple):
    """One row of the API. `body` None: none is read; `dict`: any JSON object, checked by the handler."""

    method: str
    path: str
    handler: Handler
    body: type[BaseModel] | type[dict[str, Any]] | None = None
    query: type[BaseModel] = Nothing
    status: int = 200


def bound(route: Route, services: Services) -> web.RouteDef:
    async def handle(request: web.Request) -> web.StreamResponse:
        commands = Commands(services, actor(request))
        query = checked(route.query, dict(request.query))
        answer = await route.handler(Call(services, commands, request, await _body(route, request), query))
        return answer if isinstance(answer, web.StreamResponse) else _json(answer, route.status)

    return web.route(route.method, PREFIX + route.path, handle)


def checked(model: type[M], values: Any) -> M:
    """`values` as `model`; raises `InvalidInput` naming each wrong field and what is expected there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInput("; ".join(map(_in_words, explain(error))) + ".", "docs/cli.md lists the calls.") from None


async def _body(route: Route, request: web.Request) -> Any:
    if route.body is None:
        return None
    try:
        values = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {str(error)!r:.140}.", "A JSON object is expected.") from None
    if not isinstance(values, dict):
        raise InvalidInput("The body is not a JSON object.", 'Such as {"kind": "deploy"}.')
    return checked(route.body, values) if issubclass(route.body, BaseModel) else values


def _json(answer: Any, status: int) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")


def _in_words(problem: Problem) -> str:
    where = f"{problem.where:.80}" or "body"
    if problem.text.startswith("is "):
        return f"{where} {problem.text}"
    found = "" if isinstance(problem.found, dict | list) else f" = {problem.found!r:.80}"
    return f"{where}{found}: {problem.text}"
