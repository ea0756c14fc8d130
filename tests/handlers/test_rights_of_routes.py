"""Every route of the server, found in its table: each right, in each scope, by each way in, as `bot.permissions` says.

Refusals are asked of the server as it is. That somebody is let in is asked of the same table with the same guards
before handlers that only say so: nothing is removed 500 times. Where the body says what a call is about, both are real.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from aiohttp import web

from bot.models import Kind, Wanted
from bot.passwords import Passwords
from bot.permissions import GLOBAL, GLOBAL_ONLY, Action, Grant, Person
from bot.services import Services
from handlers import access, application
from handlers.access import Access, Undeclared, access_of, on_service, refuse_undeclared
from tests.handlers.listening import listening
from tests.handlers.visiting import PASSWORD, Visitor, basic, bearer, session, visiting
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

A = Action
LET_IN = 299
# What everybody may call. A new one is written down here by somebody who means it.
FOR_EVERYBODY = {
    "GET /healthz", "GET /readyz", "GET /api/v1/openapi.json", "POST /webhooks/github",
    "GET /", "GET /ui", "GET /ui/login", "POST /ui/login", "GET /ui/static/{file}",
}  # fmt: skip
GRANTS: list[tuple[Action, str] | None] = [
    None, *((action, scope) for action in Action for scope in ("service:web", "service:shop", GLOBAL)
            if scope == GLOBAL or action not in GLOBAL_ONLY),
]  # fmt: skip
WAYS = ("session", "basic", "token", "limited token", "none")


class Asker(NamedTuple):
    """Somebody with one right or none, what they may, and how they say who they are: for questions, for writes."""

    person: Person
    reads: dict[str, str]
    writes: dict[str, str]


class Place(NamedTuple):
    house: House
    real: Visitor
    rehearsed: Visitor
    deployment: int  # of `web`; waits for approval
    askers: dict[str, list[Asker]]


def routes(of: web.Application) -> dict[str, web.AbstractRoute]:
    """By method and path; HEAD is GET without a body."""
    found = {}
    for route in of.router.routes():
        assert route.resource is not None
        found[f"{route.method} {route.resource.canonical}"] = route
    return {name: route for name, route in found.items() if not name.startswith("HEAD ")}


def path_of(route: web.AbstractRoute, place: Place, name: str = "web") -> str:
    assert route.resource is not None
    info = route.resource.get_info()
    known = {"name": name, "id": str(place.deployment), "api": " api ", "users": " users "}
    fields = info["pattern"].groupindex if "pattern" in info else {}
    return str(route.resource.url_for(**{field: known.get(field, "x") for field in fields}))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_house(tmp_path) as house:
        await house.services.worker.start()
        for name in ("web", "shop"):
            await house.add(name)
        await house.services.store.add_user("bob")
        wanted = Wanted(service="web", kind=Kind.DEPLOY, actor="user:bob", tag="0001", needs_approval=True)
        deployment = (await house.services.store.want(wanted)).id
        rehearsed = rehearsal(house.services)
        async with visiting(house) as real, listening(rehearsed) as port:
            there = Visitor(real.client, f"http://127.0.0.1:{port}")
            yield Place(house, real, there, deployment, await askers(house))


def rehearsal(services: Services) -> web.Application:
    """The same routes behind the same guards, with handlers that only say that somebody was let in."""
    of = application.public(services)
    for route in of.router.routes():
        declared = access.access_of(route.handler)
        assert declared is not None
        style = cast("access.Style", getattr(route.handler, "style", "problem"))
        if declared != access.EVERYBODY:
            route._handler = access.guarded(services, declared, _let_in, style)  # type: ignore[assignment]
    return of


async def _let_in(request: web.Request) -> web.Response:
    return web.Response(status=LET_IN)


async def askers(house: House) -> dict[str, list[Asker]]:
    """For each way in, somebody for each of `GRANTS`."""
    store, words = house.services.store, Passwords()
    hash = await words.rehash(PASSWORD)
    words.close()
    await store.add_user("root", hash, [(A.ADMIN, GLOBAL)], "o8")
    found: dict[str, list[Asker]] = {way: [] for way in WAYS}
    for number, grant in enumerate(GRANTS):
        name = f"user{number}"
        await store.add_user(name, hash, [grant] if grant else [], "o8")
        held = (Grant(action=grant[0], scope=grant[1]),) if grant else ()
        person = Person(actor="", username=name, grants=held)
        found["session"].append(Asker(person, *await session(house, name)))
        found["basic"].append(Asker(person, basic(name), basic(name)))
        _, whole = await store.add_token(name, "x", None, None)
        _, limited = await store.add_token("root", "x", held, None)
        found["token"].append(Asker(person, bearer(whole), bearer(whole)))
        root = Person(actor="", username="root", grants=(Grant(action=A.ADMIN, scope=GLOBAL),), limits=held)
        found["limited token"].append(Asker(root, bearer(limited), bearer(limited)))
    found["none"].append(Asker(Person(actor="", username=""), {}, {}))
    return found


def is_page(route: web.AbstractRoute) -> bool:
    """Of the dashboard: who is not logged in is sent to the login."""
    return getattr(route.handler, "style", "") == "page"


def expected(declared: Access, person: Person, service: str = "web") -> int:
    """What the right that a route declares means for `person`."""
    if declared.subject == "account":
        return LET_IN
    assert declared.action is not None
    if declared.subject == "global":
        return LET_IN if person.may(declared.action) else 403
    assert declared.subject in ("service", "deployment"), f"say here what {declared.subject} means"
    return decided(person, declared.action, service)


def decided(person: Person, action: Action, service: str) -> int:
    """What may not be seen is not there."""
    if not person.may(A.VIEW_STATUS, service):
        return 404
    return LET_IN if person.may(action, service) else 403


# -- routes that say themselves what their right is about


@pytest.mark.parametrize("way", WAYS)
async def test_every_route_lets_in_exactly_who_may(place: Place, way: str) -> None:
    wrong, tried = [], 0
    for name, route in routes(application.public(place.house.services)).items():
        declared = access_of(route.handler)
        assert declared is not None
        if declared == access.EVERYBODY or declared.subject == "named":
            continue
        for asker in place.askers[way]:
            wanted = expected(declared, asker.person) if way != "none" else 303 if is_page(route) else 401
            visitor = place.rehearsed if wanted == LET_IN else place.real
            headers = asker.reads if route.method == "GET" else asker.writes
            answer = await visitor.ask(route.method, f"/..{path_of(route, place)}", headers)
            tried += 1
            is_login = answer.headers.get("Location", "/ui/login").startswith("/ui/login")
            if answer.status != wanted or (wanted == 303 and not is_login):
                wrong.append(f"{name} by {asker.person}: {answer.status}, not {wanted}")
    assert wrong == []
    assert tried > (len(GRANTS) if way != "none" else 1) * 40


async def test_every_form_of_a_page_asks_for_the_proof_that_it_is_o8s_own(place: Place) -> None:
    """Its handler has to look; for all other writes the guard does (tests/handlers/test_auth.py)."""
    reads, _ = await session(place.house, "root")
    tried = 0
    for name, route in routes(application.public(place.house.services)).items():
        if is_page(route) and route.method != "GET" and access_of(route.handler) != access.EVERYBODY:
            for csrf in ("", "x"):
                answer = await place.real.ask(route.method, f"/..{path_of(route, place)}", reads, data={"csrf": csrf})
                assert answer.status == 403 and b"did not come from o8" in answer.body, name
                tried += 1
    assert tried > 40


async def test_no_header_and_no_form_breaks_a_page(place: Place) -> None:
    reads, writes = await session(place.house, "root")
    for headers in ({"Referer": "http://["}, {"Content-Type": "multipart/form-data"}, {"Origin": "http://["},
                    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "x/y; charset=nonsense"},
                    {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}):  # fmt: skip
        for path in ("/ui/login", "/ui/services/web/lock", "/ui/account/tokens/remove"):
            for data in (
                b"",
                b"--x\r\n\r\n",
                b"a=%ff&id=" + b"9" * 5000,
                f"csrf={writes['X-CSRF-Token']}&id=".encode(),
            ):
                data += b"9" * 30 if data.endswith(b"id=") else b""
                answer = await place.real.ask("POST", f"/..{path}", reads | headers, data=data)
                assert answer.status < 500, (headers, path, data[:40], answer)


async def test_what_is_hidden_is_refused_as_what_is_not_there(place: Place) -> None:
    """In the same words, but for the name that was asked for."""
    for route in routes(application.public(place.house.services)).values():
        declared = access_of(route.handler)
        if declared is None or declared.subject != "service":
            continue
        for asker in place.askers["token"]:
            if not asker.person.may(A.VIEW_STATUS, "web"):
                found = [
                    await place.real.ask(route.method, f"/..{path_of(route, place, name)}", asker.writes)
                    for name in ("web", "wex")
                ]
                bodies = [str(answer.body).replace("web", "wex") for answer in found]
                assert [answer.status for answer in found] == [404, 404] and bodies[0] == bodies[1], route


def test_everybody_may_call_nothing_but_what_is_listed(place: Place) -> None:
    found = routes(application.public(place.house.services)).items()
    assert {name for name, route in found if access_of(route.handler) == access.EVERYBODY} == FOR_EVERYBODY


# -- routes whose body, or the service behind an id, says what they are about

Deed = tuple[dict[str, Any] | None, dict[str, str], str]  # body, query, the name in the path
Wanted_ = Callable[[Person], int]


def on(action: Action, service: str = "web") -> Wanted_:
    return lambda person: decided(person, action, service)


def everywhere(action: Action) -> Wanted_:
    return lambda person: LET_IN if person.may(action) else 403


def adding_or(action: Action, service: str = "web") -> Wanted_:
    """To who may not see it, it is a new one: they learn that the name is taken only if they may add services."""
    return lambda person: (
        decided(person, action, service)
        if person.may(A.VIEW_STATUS, service)
        else everywhere(A.ADD_NEW_SERVICE)(person)
    )


def changing_and_deploying(person: Person) -> int:
    """The first one that is missing is told."""
    if not person.may(A.VIEW_STATUS, "web"):
        return everywhere(A.ADD_NEW_SERVICE)(person)
    return LET_IN if all(person.may(each, "web") for each in (A.EDIT_CONFIGURATION, A.DEPLOY)) else 403


RIGHT = {"action": "view_logs", "scope": "service:web"}
EVERYWHERE = {"action": "view_logs", "scope": GLOBAL}
PORT = "the one of web"  # known once there is a house
IMAGE = "ghcr.io/acme/web:0001"
NAMED: dict[str, list[tuple[Deed, Wanted_]]] = {
    "PUT /api/v1/services/{name}": [
        (({"image": "ghcr.io/acme/web", "port": 8080}, {}, "web"), adding_or(A.EDIT_CONFIGURATION)),
        (({"image": "ghcr.io/acme/new", "port": 8080}, {}, "new"), everywhere(A.ADD_NEW_SERVICE)),
    ],
    "POST /api/v1/users/{name}/grants": [
        ((RIGHT, {}, "bob"), on(A.ADMIN)), ((EVERYWHERE, {}, "bob"), everywhere(A.ADMIN)),
    ],
    "DELETE /api/v1/users/{name}/grants": [
        ((None, RIGHT, "bob"), on(A.ADMIN)), ((None, EVERYWHERE, "bob"), everywhere(A.ADMIN)),
    ],
    "POST /services/start": [
        (({"service": "web", "image": IMAGE, "config": {"containerPort": PORT}}, {}, ""), adding_or(A.DEPLOY)),
        (({"service": "web", "image": IMAGE, "config": {"containerPort": 81}}, {}, ""), changing_and_deploying),
        (({"service": "new", "image": IMAGE, "config": {"containerPort": 81}}, {}, ""), everywhere(A.ADD_NEW_SERVICE)),
    ],
    "POST /services/stop": [(({"service": "web"}, {}, ""), on(A.MANAGE))],
    "POST /services/restart": [(({"service": "web"}, {}, ""), on(A.DEPLOY))],
    "GET /services/{name}/logs": [((None, {}, "web"), on(A.VIEW_LOGS))],
    "GET /services/{name}/logs/ws": [((None, {}, "web"), on(A.VIEW_LOGS))],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("way", WAYS)
async def test_who_names_something_in_the_body_needs_the_right_to_that(place: Place, way: str, name: str) -> None:
    route = routes(application.public(place.house.services))[name]
    wrong = []
    for (body, query, subject), wanted_of in NAMED[name]:
        for asker in place.askers[way]:
            await prepare(place.house)
            wanted = 401 if way == "none" else wanted_of(asker.person)
            path = path_of(route, place, subject) + (
                "?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""
            )
            headers = asker.reads if route.method == "GET" else asker.writes
            if body and body.get("config") == {"containerPort": PORT}:
                body = body | {"config": {"containerPort": place.house.port}}
            answer = await place.real.ask(route.method, f"/..{path}", headers, body)
            found = answer.status if answer.status in (401, 403, 404) else LET_IN
            if found != wanted:
                wrong.append(f"{body or query} by {asker.person}: {answer.status} {answer.body}, not {wanted}")
    assert wrong == []


async def prepare(house: House) -> None:
    """What those before may have changed or taken is there again."""
    store = house.services.store
    if "new" in await store.service_names():
        for pending in await store.pending():
            if pending.service == "new":
                await house.services.worker.cancel(pending.id, "a test")
        await store.forget_service("new")
    await house.add("web", image="ghcr.io/acme/web")
    for scope in ("service:web", GLOBAL):
        await store.grant("bob", A.VIEW_LOGS, scope, "o8")


def test_every_route_that_asks_for_what_is_named_has_a_case(place: Place) -> None:
    found = routes(application.public(place.house.services)).items()
    named = {name for name, route in found if (declared := access_of(route.handler)) and declared.subject == "named"}
    assert named == set(NAMED), "a new one: say in NAMED how it is asked, and who may"


# -- the checks can fail


async def _open(request: web.Request) -> web.Response:
    return web.Response()


def test_a_route_that_says_nothing_about_rights_does_not_start() -> None:
    careless = web.Application()
    careless.add_routes([web.get("/fine", access.public(_open)), web.delete("/services/{name}", _open)])
    with pytest.raises(Undeclared, match=r"DELETE /services/\{name\}\.") as found:
        refuse_undeclared(careless)
    assert "fine" not in str(found.value)


async def test_more_routes_are_refused_too(place: Place) -> None:
    for route in (web.post("/slack/events", _open), web.get("/x", _open), web.static("/static", place.house.folder)):
        with pytest.raises(Undeclared):
            application.public(place.house.services, [route])  # type: ignore[list-item]
    application.public(place.house.services, [web.post("/slack/events", access.public(_open))])


async def test_a_guard_that_asks_for_too_little_is_found(place: Place) -> None:
    """The control: the same question of a route that declares `manage`, and is guarded with `view_status`."""
    careless = web.Application()
    careless.add_routes([web.get("/{name}", access.guarded(place.house.services, on_service(A.VIEW_STATUS), _let_in))])
    async with listening(careless) as port:
        visitor = Visitor(place.real.client, f"http://127.0.0.1:{port}")
        found = [
            await visitor.status(asker.reads, "/../web") == expected(on_service(A.MANAGE), asker.person)
            for asker in place.askers["token"]
        ]
    assert True in found and False in found
