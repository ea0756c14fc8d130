"""What a call is: its route, who asks, its checked path, query and body. Only here are requests of /api/v1 read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bot.errors import InvalidInput
from bot.permissions import Person
from bot.problems import Problem, explain
from bot.services import Services
from handlers import access
from handlers.access import Access
from handlers.api import once
from handlers.commands import Commands

PREFIX = "/api/v1"
LARGEST_ID = 2**63 - 1  # SQLite's integers


class Values(BaseModel):
    """What a request brings, checked whole; an unknown key is refused, so that a typing error is seen.

    A field that holds secrets is marked `Field(repr=False)`: no refusal repeats what is in it.
    """

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


@dataclass(frozen=True)
class Call(Generic[Body, Query]):
    """One request. Writes go through `commands`, which knows the actor; `services` is for questions."""

    services: Services
    commands: Commands
    request: web.Request
    person: Person
    body: Body
    query: Query

    @property
    def name(self) -> str:
        """The service or user in the path, as asked for: it may not exist."""
        return self.request.match_info["name"]

    @property
    def id(self) -> int:
        """The number in the path; raises `InvalidInput` when it is none."""
        return checked(_PathId, {"id": self.request.match_info["id"]}).id


class _PathId(BaseModel):
    id: Id


class Page(NamedTuple):
    """A part of a long list. `next`: the query of the part after it; empty: there is none."""

    items: Any
    next: dict[str, Any]


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


class Route(NamedTuple):
    """One row of the API.

    `answer`: the type of what `handler` returns, or the media type of a stream. `body` None: none is read; `dict`: any
    JSON object, checked by the handler. `is_kept` False: the answer holds a secret, so it is not kept for a second
    request with the same idempotency key.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    answer: Any
    body: type[BaseModel] | type[dict[str, Any]] | None = None
    query: type[BaseModel] = Nothing
    status: int = 200
    is_kept: bool = True

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def media_type(self) -> str:
        """Of what is answered."""
        return self.answer if isinstance(self.answer, str) else "application/json"


def bound(route: Route, services: Services) -> web.RouteDef:
    """`route` for aiohttp: guarded, checked, answered as JSON."""
    adapter: TypeAdapter[Any] | None = None if isinstance(route.answer, str) else TypeAdapter(route.answer)

    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        query = checked(route.query, dict(request.query))
        commands = Commands(services, access.caller_of(request).actor)
        values = _values(route, body)
        found = await route.handler(Call(services, commands, request, access.person_of(request), values, query))
        if isinstance(found, web.StreamResponse) or adapter is None:
            return found  # type: ignore[no-any-return]
        headers = {}
        if isinstance(found, Page):
            url = request.rel_url.update_query({**request.query, **found.next})
            headers = {"Link": f'<{url}>; rel="next"'} if found.next else {}
            found = found.items
        return web.Response(
            body=adapter.dump_json(found), status=route.status, headers=headers, content_type="application/json"
        )

    async def handle(request: web.Request) -> web.StreamResponse:
        body = b"" if route.body is None else await request.read()
        if not route.is_write:
            return await answer(request, body)
        return await once.perform(services, request, body, lambda: answer(request, body), is_kept=route.is_kept)

    return web.route(route.method, PREFIX + route.path, access.guarded(services, route.access, handle))


def checked(model: type[M], values: Any) -> M:
    """`values` as `model`; raises `InvalidInput` naming each wrong field and what is expected there."""
    return _told(model, lambda: model.model_validate(values))


def _told(model: type[M], read: Callable[[], M]) -> M:
    try:
        return read()
    except ValidationError as error:
        secret = {name for name, field in model.model_fields.items() if not field.repr}
        words = (_in_words(problem, is_secret=not secret.isdisjoint(problem.path[:1])) for problem in explain(error))
        raise InvalidInput("; ".join(words) + ".", "docs/api.md lists the calls.") from None


def _values(route: Route, body: bytes) -> Any:
    if route.body is None:
        return None
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {str(error)!r:.140}.", "A JSON object is expected.") from None
    if not isinstance(values, dict):
        raise InvalidInput("The body is not a JSON object.", 'Such as {"kind": "deploy"}.')
    model = route.body
    if not issubclass(model, BaseModel):
        return values
    # Strictly: JSON has numbers and booleans of its own, so that `"1"` or `0` for one of them is a mistake.
    return _told(model, lambda: model.model_validate_json(body, strict=True))


def _in_words(problem: Problem, *, is_secret: bool) -> str:
    where = f"{problem.where:.80}" or "body"
    if problem.text.startswith("is "):
        return f"{where} {problem.text}"
    found = "" if is_secret or isinstance(problem.found, dict | list) else f" = {problem.found!r:.80}"
    return f"{where}{found}: {problem.text}"
