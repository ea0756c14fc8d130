"""The API's description: valid OpenAPI 3.1, complete, and true of every answer on a walk over all calls."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import schemathesis

from bot.models import Delivery, Kind, State, Wanted
from bot.permissions import GLOBAL, Action
from handlers.api import ROUTES, openapi
from handlers.api.routing import PREFIX, Page
from lab.waiting import until
from tests.handlers.visiting import PASSWORD, Answer, Visitor, add_user, basic
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

DOCUMENT = openapi.document(ROUTES)
OPERATIONS = {
    f"{method.upper()} {path.removeprefix(PREFIX)}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
STREAMS = {"GET /events", "GET /deployments/{id}/events", "GET /services/{name}/logs/events"}
SOCKETS = {"GET /services/{name}/logs/ws"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        await house.services.store.remember("slack_team", "T12")
        yield house


# -- the document itself


async def test_it_is_served_to_everybody_as_it_is_made(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", "/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.body == orjson.loads(orjson.dumps(DOCUMENT))


def test_it_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(orjson.loads(orjson.dumps(DOCUMENT))).validate()


def test_a_document_that_is_not_valid_is_refused() -> None:
    """The control."""
    broken = orjson.loads(orjson.dumps(DOCUMENT))
    broken["paths"]["/api/v1/me"]["get"]["responses"]["200"] = {"content": 1}
    with pytest.raises(Exception, match=r"1 is not of type|description"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_schema_in_it_is_a_schema_and_every_reference_leads_somewhere() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.Draft202012Validator(whole(schema)).is_valid(None), name
    for reference in re.findall(r'"\$ref":"([^"]+)"', orjson.dumps(DOCUMENT).decode()):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"], reference


def test_it_names_every_route_and_no_other() -> None:
    assert set(OPERATIONS) == {f"{route.method} {route.path}" for route in ROUTES}
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_does_needs_takes_and_answers(name: str) -> None:
    operation = OPERATIONS[name]
    route = next(route for route in ROUTES if f"{route.method} {route.path}" == name)
    assert operation["summary"] and operation["description"] and operation["tags"]
    in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", route.path))
    in_query = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    assert in_query == set(route.query.model_fields)
    has_key = any(each["name"] == "Idempotency-Key" for each in operation["parameters"])
    assert has_key == (route.method != "GET" and route.is_kept)
    assert ("requestBody" in operation) == (route.body is not None)
    assert {"400", "401", "403", "404", "429", "500", "503"} <= set(operation["responses"])
    is_paged = route.handler.__annotations__.get("return") in (Page, "Page")
    assert ("headers" in operation["responses"][str(route.status)]) == is_paged


# -- and what is answered


def whole(schema: Any) -> Any:
    """With what it refers to."""
    text = orjson.dumps({**schema, "$defs": DOCUMENT["components"]["schemas"]}).decode()
    return orjson.loads(text.replace("#/components/schemas/", "#/$defs/"))


def misfits(name: str, answer: Answer) -> list[str]:
    """Where an answer is not as its operation says."""
    described = OPERATIONS[name]["responses"].get(str(answer.status))
    if described is None:
        return [f"{name}: {answer.status} is not described: {answer.body}"]
    media = answer.headers["Content-Type"].partition(";")[0]
    if media not in described["content"]:
        return [f"{name}: {media}, not {list(described['content'])}"]
    schema = described["content"][media].get("schema")
    if schema is None or not media.endswith("json"):
        return []
    validator = jsonschema_rs.Draft202012Validator(whole(schema), validate_formats=True)
    return [f"{name}: {error.instance_path}: {error.message}" for error in validator.iter_errors(answer.body)]


async def prepared(house: House) -> dict[str, Any]:
    """Something of everything; values for the paths."""
    await house.services.worker.start()
    for name in ("web", "shop"):
        await house.add(name)
    release = await house.deployed("web", "0001")
    await house.deployed("web", "0002")
    await house.deployed("shop", "0002")
    received = Delivery(
        id="d1", event="package", action="published", sender="ada", image="ghcr.io/acme/web", tag="0001",
        body_digest="0" * 64, received_at=datetime.now(UTC), verdict="accepted",
    )  # fmt: skip
    await house.services.store.receive(received, b"", ())
    await house.services.store.add_user("ada")
    await house.services.store.add_token("root", "first", None, None)
    return {"name": "web", "id": release.id, "delivery": "d1"}


async def waiting(house: House) -> int:
    wanted = Wanted(service="shop", kind=Kind.DEPLOY, actor="user:ada", tag="0002", needs_approval=True)
    return (await house.services.store.want(wanted)).id


async def is_idle(house: House, service: str) -> bool:
    """Nothing is brought up there."""
    pending = await house.services.store.pending()
    is_coming = any(each.service == service and each.state != State.WAITING for each in pending)
    return not is_coming and house.services.worker.running(service) is None


# In the order in which they make sense. {wait}: a deployment that waits for approval, a new one each time.
WALK: list[tuple[str, str, Any]] = [
    ("GET /me", "", None), ("GET /services", "", None), ("GET /status", "", None), ("GET /doctor", "", None),
    ("PUT /services/{name}", "new", {"image": "ghcr.io/acme/new", "port": 8080, "limits": {"memory": "64m"}}),
    ("PUT /services/{name}", "web", {"image": "ghcr.io/acme/web", "port": 8081}),
    ("GET /services/{name}", "web", None), ("GET /services/{name}", "new", None),
    ("PUT /services/{name}", "secure", {"image": "ghcr.io/acme/new", "port": 80, "site": {"tls": "auto"}}),
    ("POST /services/{name}/certificate", "secure", None), ("GET /services/{name}", "secure", None),
    ("POST /services/{name}/deployments", "web", {"release": "0001", "reason": "why"}),
    ("POST /services/{name}/deployments", "web", {"kind": "restart"}),
    ("POST /services/{name}/scale", "shop", {"replicas": 2}),
    ("GET /services/{name}/releases", "web", None), ("GET /deployments", "?limit=2", None),
    ("GET /deployments/{id}", "", None), ("POST /deployments/{id}/cancel", "{wait}", None),
    ("POST /deployments/{id}/reject", "{wait}", {"reason": "no"}), ("POST /deployments/{id}/approve", "{wait}", None),
    ("PUT /services/{name}/hold", "web", {"reason": "why"}), ("PUT /services/{name}/lock", "web", {"reason": "why"}),
    ("GET /services/{name}", "web", None), ("GET /status", "", None),
    ("DELETE /services/{name}/hold", "web", None), ("DELETE /services/{name}/lock", "web", None),
    ("PUT /services/{name}/environment", "shop", {"content": "A=1\n"}),
    ("PATCH /services/{name}/environment", "shop", {"set": {"B": "2"}}),
    ("GET /services/{name}/environment", "shop?values=1", None), ("GET /services/{name}/environment", "web", None),
    ("GET /services/{name}/logs", "web", None), ("POST /services/{name}/stop", "shop", None),
    ("GET /deliveries", "?limit=1", None), ("GET /deliveries/{delivery}", "", None),
    ("POST /deliveries/{delivery}/run", "", None), ("GET /audit", "?limit=2", None), ("GET /audit", "", None),
    ("GET /audit/verification", "", None), ("GET /users", "", None),
    ("POST /services", "?dry_run=1", {"image": "ghcr.io/acme/made"}),
    ("POST /services", "", {"image": "ghcr.io/acme/made:0001", "port": 8080}),
    ("GET /packages", "?limit=1", None), ("GET /services/{name}/versions", "web?limit=1", None),
    ("POST /users", "", {"username": "bob", "password": PASSWORD, "rights": [{"action": "deploy", "scope": GLOBAL}]}),
    ("POST /users/{name}/grants", "bob", {"action": "view_logs", "scope": "service:web", "seconds": 60}),
    ("PUT /users/{name}/grants", "bob", {"rights": [{"action": "view_env", "scope": GLOBAL}]}),
    ("DELETE /users/{name}/grants", "bob?action=view_env&scope=global", None),
    ("PUT /users/{name}/password", "bob", {"password": PASSWORD}),
    ("POST /slack/links", "", {"slack_user": "U123", "username": "bob"}),
    ("POST /github/links", "", {"login": "Bob-B", "username": "bob"}), ("DELETE /github/links/{name}", "bob-b", None),
    ("POST /slack/admins", "", {"slack_user": "U124"}), ("POST /slack/code", "", None),
    ("GET /users", "", None), ("DELETE /users/{name}", "bob", None),
    ("POST /tokens", "", {"name": "ci", "seconds": 60, "rights": [{"action": "deploy", "scope": GLOBAL}]}),
    ("GET /tokens", "", None), ("DELETE /tokens/{id}", "1", None), ("DELETE /services/{name}", "shop", None),
    ("GET /deployments", "?service=shop", None), ("POST /prune", "?dry_run=1", None), ("POST /prune", "", None),
    ("GET /github/webhook", "?owner=acme", None),
]  # fmt: skip


@pytest.mark.slow
async def test_every_answer_of_a_walk_over_all_calls_is_as_described(house: House, visitor: Visitor) -> None:
    values = await prepared(house)
    wrong: list[str] = []
    for name, which, body in WALK:
        method, _, path = name.partition(" ")
        subject, _, query = which.partition("?")
        subject = str(await waiting(house)) if subject == "{wait}" else subject
        path = re.sub(r"{(\w+)}", lambda found, s=subject: s or str(values[found[1]]), path)  # type: ignore[misc]
        wrong += misfits(name, await visitor.ask(method, path))
        refused = await visitor.ask(method, f"{path}?no_such=1", basic("root"), body)
        wrong += misfits(name, refused) if refused.status == 400 else [f"{name}: {refused.status} for nonsense"]
        if path.startswith("/services/shop") and method != "GET":
            await until(lambda: is_idle(house, "shop"), 30)
        answer = await visitor.ask(method, f"{path}?{query}", basic("root"), body)
        wrong += misfits(name, answer)
        if answer.status >= 400:
            wrong.append(f"{name} {which}: {answer.status} {answer.body}")
    assert wrong == []


def test_the_walk_leaves_out_streams_alone() -> None:
    local = {"POST /import"}  # for the socket; tests/cli/test_import.py
    elsewhere = {"POST /github/webhook"}  # asks GitHub; tests/hooks
    assert {name for name, _, _ in WALK} | STREAMS | SOCKETS | local | elsewhere == set(OPERATIONS) | local


async def test_an_answer_that_does_not_fit_is_seen(house: House, visitor: Visitor) -> None:
    """The control."""
    answer = await visitor.ask("GET", "/me", basic("root"))
    assert misfits("GET /me", answer) == []
    assert misfits("GET /me", answer._replace(body=answer.body | {"username": 1}))
    assert misfits("GET /me", answer._replace(status=418))
    assert misfits("GET /services/{name}/logs", answer)
