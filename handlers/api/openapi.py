"""The API's description, made from its routes: https://spec.openapis.org/oas/v3.1.0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from bot.version import version
from handlers.access import Access
from handlers.api.once import HEADER
from handlers.api.routing import LARGEST_ID, PREFIX, Page, Route

_SUBJECTS = {
    "everybody": "Everybody may.", "account": "Needs an account; shows what its rights allow.",
    "global": "Needs `{action}` in `global`.", "service": "Needs `{action}` in `service:{{name}}` or `global`.",
    "deployment": "Needs `{action}` for the service of the deployment.",
    "named": "Needs `{action}` in the scope that is named; for a new service `add_new_service`.",
}  # fmt: skip
_REFUSALS = {
    400: "The request makes no sense.", 401: "Login is missing or wrong.", 403: "Not allowed.",
    404: "There is no such thing, or one may not see it.", 409: "Makes sense, but not now.",
    413: "The body is too large.", 422: "The idempotency key came with another request.",
    429: "Too many wrong logins.", 500: "A fault inside o8.", 502: "The registry or GitHub refused.",
    503: "A part that o8 needs does not answer.", 507: "The disk is full.",
}  # fmt: skip
_REF = "#/components/schemas/{model}"


class Problem(BaseModel):
    """Why a request was refused (RFC 9457). `next_step` says what to do; `code` is for programs."""

    title: str
    status: int
    detail: str
    code: str
    next_step: str
    suggestions: list[str]


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 of `routes`."""
    answers = [TypeAdapter(route.answer) for route in routes if not isinstance(route.answer, str)]
    bodies = [TypeAdapter(route.body) for route in routes if route.body is not None]
    inputs = [(f"in {id(each)}", "validation", each) for each in bodies]
    outputs = [(f"out {n}", "serialization", each) for n, each in enumerate(answers)]
    schemas, shared = TypeAdapter.json_schemas(
        [(n, mode, each) for n, (_, mode, each) in enumerate([*inputs, *outputs])],  # type: ignore[misc]
        ref_template=_REF,
    )
    ordered = iter([schemas[n, mode] for n, (_, mode, _) in enumerate([*inputs, *outputs])])  # type: ignore[index]
    of_body = {route: next(ordered) for route in routes if route.body is not None}
    of_answer = {route: next(ordered) for route in routes if not isinstance(route.answer, str)}
    _, problem = models_json_schema([(Problem, "serialization")], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, of_body.get(route), of_answer.get(route))
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orchestr8", "version": version(), "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Push to deploy and ChatOps. docs/api.md explains paging, events and idempotency.",
        },
        "security": [{"token": []}, {"password": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {**shared.get("$defs", {}), **problem.get("$defs", {})},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`o8_...`, from `o8 token add`"},
                "password": {"type": "http", "scheme": "basic"},
                "session": {"type": "apiKey", "in": "cookie", "name": "o8_session",
                            "description": "of the dashboard; writes also need its X-CSRF-Token"},
            },
        },
    }  # fmt: skip


def _operation(route: Route, body: Any, answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.path.split("/")[1]],
        "summary": _first_line(route.handler.__doc__),
        "description": _needs(route.access),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_headers(route)],
        "responses": {
            str(route.status): _success(route, answer),
            **{str(status): _refusal(text) for status, text in _REFUSALS.items()},
        },
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _success(route: Route, answer: Any) -> dict[str, Any]:
    if route.status == 101:
        return {"description": "The connection becomes a WebSocket."}
    content = {} if answer is None else {"schema": answer}
    found: dict[str, Any] = {"description": "Done.", "content": {route.media_type.partition(";")[0]: content}}
    if route.handler.__annotations__.get("return") in (Page, "Page"):
        found["headers"] = {
            "Link": {"description": 'The next page, as `rel="next"` (RFC 8288).', "schema": {"type": "string"}}
        }
    return found


@cache
def _refusal(text: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="Problem")}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
    return [
        {"name": name, "in": "path", "required": True, "schema": number if name == "id" else {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema(mode="validation", ref_template=_REF)
    definitions = schema.get("$defs", {})
    needed = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _inlined(found, definitions)}
        for name, found in schema.get("properties", {}).items()
    ]


def _headers(route: Route) -> list[dict[str, Any]]:
    if not (route.is_write and route.is_kept):
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    return [{
        "name": HEADER, "in": "header", "required": False, "schema": schema,
        "description": "the same key again is answered as the first time, and done once; kept for a day",
    }]  # fmt: skip


def _inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A small schema without references, as a parameter has it."""
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return definitions[schema["$ref"].rpartition("/")[2]] | rest  # type: ignore[no-any-return]
    return schema


def _needs(access: Access) -> str:
    return _SUBJECTS[access.subject].format(action=access.action)


def _operation_id(route: Route) -> str:
    words = re.sub(r"[{}]", "", route.path).strip("/").replace("/", "_")
    return f"{route.method.lower()}_{words}"


def _first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())
