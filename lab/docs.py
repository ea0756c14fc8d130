"""Keeps the pages of docs/ true: writes the tables between markers from the models. `make docs` runs it.

Markers: `<!-- table: settings -->`, replaced up to `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.configuration import Configuration
from bot.permissions import ALLOWS, Action, implied_by
from bot.problems import in_words
from bot.settings import SECRETS, Settings
from handlers.access import Access
from handlers.api import ROUTES
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.registry import VERBS, Verb
from lab.slack.manifests import SCOPES

DOCS = Path(__file__).parent.parent / "docs"
SECTIONS = ("follow", "limits", "health", "site")
PAGES = ("settings.md", "services.md", "chatops.md", "permissions.md", "slack.md", "api.md")
_TABLE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TRANSITION = re.compile(r"^\s*(\[\*\]|\w+) --> (\w+)", re.MULTILINE)
_COMPUTED = {"O8_DATA_DIR": "see below"}


def written(page: str) -> str:
    """The text of a page with its tables as the code has them now."""
    return _TABLE.sub(lambda found: f"{found[1]}{_table(found[2])}{found[3]}", (DOCS / page).read_text())


def transitions() -> set[tuple[str, str]]:
    """The arrows of the state diagram in docs/architecture.md; `[*]` is where a deployment comes from."""
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", (DOCS / "architecture.md").read_text(), re.DOTALL)
    return set(_TRANSITION.findall(diagram[1])) if diagram else set()


def _table(name: str) -> str:
    special = {"settings": _settings, "commands": _commands, "actions": _actions, "scopes": _scopes, "api": _api}
    rows = special[name]() if name in special else _keys(name)
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def _settings() -> Iterator[tuple[str, ...]]:
    yield from (("setting", "default", "what it is"), ("---", "---", "---"))
    for field, info in Settings.model_fields.items():
        name = field.upper()
        default = "" if name in SECRETS or info.default is None else str(info.default)
        mark = " (secret)" if name in SECRETS else ""
        yield f"`{name}`{mark}", _COMPUTED.get(name) or _code(default), info.description or ""


def _api() -> Iterator[tuple[str, ...]]:
    yield from (("call", "needs", "does", "body or query"), ("---", "---", "---", "---"))
    for route in ROUTES:
        body = getattr(route.body, "model_fields", {"a service file as JSON": None} if route.body else {})
        fields = [
            *(f"`{name}`" if " " not in name else name for name in body),
            *(f"`?{f}`" for f in route.query.model_fields),
        ]
        summary = " ".join((route.handler.__doc__ or "").split("\n\n")[0].split())
        yield f"`{route.method} {route.path}`", _right(route.access), summary, ", ".join(fields)


def _right(access: Access) -> str:
    where = {"global": "in `global`", "named": "in the scope that is named"}.get(access.subject, "")
    return f"`{access.action}` {where}".strip() if access.action else "an account"


def _commands() -> Iterator[tuple[str, ...]]:
    yield from (("command", "permission", "what it does"), ("---", "---", "---"))
    for verb in sorted(VERBS.values()):
        yield f"`/o8 {verb.usage}`", _needed(verb), verb.summary


def _needed(verb: Verb) -> str:
    if verb.is_open:
        return "everybody"
    if verb.is_for_admins:
        return "`admin` of that scope"
    return f"`{verb.action}`" if verb.action else "every user of o8"


def _actions() -> Iterator[tuple[str, ...]]:
    yield from (("action", "allows", "implies"), ("---", "---", "---"))
    for action in Action:
        implied = "everything" if action is Action.ADMIN else ", ".join(f"`{other}`" for other in implied_by(action))
        yield f"`{action}`", ALLOWS[action], implied


def _scopes() -> Iterator[tuple[str, ...]]:
    yield from (("scope", "for"), ("---", "---"))
    for scope, reason in SCOPES.items():
        yield f"`{scope}`", reason


def _keys(section: str) -> Iterator[tuple[str, ...]]:
    schema = Configuration.model_json_schema()
    definitions = schema["$defs"]
    if section != "service":
        schema = definitions["Volume" if section == "volumes" else section.capitalize()]
    yield from (("key", "value", "default", "what it is"), ("---", "---", "---", "---"))
    for key, field in schema["properties"].items():
        if section == "service" and key in (*SECTIONS, "volumes"):
            continue  # tables of their own
        default = _code(_as_toml(field["default"])) if "default" in field else "required"
        yield f"`{key}`", _value(field), default, field["description"]


def _value(field: dict[str, Any]) -> str:
    """What a key takes, in words, from its JSON schema."""
    if "anyOf" in field:
        return next(_value(one) for one in field["anyOf"] if one.get("const") != "")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return f"list: {_value(field['items'])}"
    if field["type"] in ("integer", "number"):
        return f"{field['minimum']} to {field['maximum']}"
    return {"boolean": "true or false"}.get(field["type"]) or in_words(field.get("pattern", "")) or "text"


def _as_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text not in ("", "()", "[]") else "empty"


if __name__ == "__main__":
    for page in PAGES:
        (DOCS / page).write_text(written(page))
