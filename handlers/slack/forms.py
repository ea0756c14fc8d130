"""Forms as modals of Slack, and what comes back as values. Pure. https://docs.slack.dev/surfaces/modals"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from bot.chat import Place
from bot.notifiers.slack.blocks import Block, section
from bot.notifiers.slack.text import cut, escaped, plain
from handlers.chatops.reply import Field, Form

CALLBACK = "o8:form"
PICK = "o8:pick:"
_SECRET = "The value goes to o8 alone: it is in no message, and not in Slack's history."  # noqa: S105


class Filled(NamedTuple):
    """A form that somebody sent."""

    verb: str
    fixed: dict[str, str]
    values: dict[str, str]
    place: Place


def view_of(form: Form, place: Place) -> dict[str, Any]:
    """The modal; where it was asked for travels in it."""
    about = [section(escaped(form.about))] if form.about else []
    metadata = {"verb": form.verb, "fixed": form.fixed, "place": place.model_dump(exclude_defaults=True)}
    return {
        "type": "modal", "callback_id": CALLBACK, "title": _plain(form.title, 24), "submit": _plain(form.submit, 24),
        "close": _plain("Cancel", 24), "private_metadata": orjson.dumps(metadata).decode(),
        "blocks": [*about, *map(_input, form.fields)],
    }  # fmt: skip


def read(view: dict[str, Any]) -> Filled:
    """What came back. Raises `ValueError` for a view that is not ours."""
    try:
        metadata = orjson.loads(view["private_metadata"])
        state = view["state"]["values"]
        values = {block: _value(next(iter(inputs.values()))) for block, inputs in state.items()}
        place = Place.model_validate(metadata["place"])
        return Filled(metadata["verb"], metadata["fixed"], {k: v for k, v in values.items() if v}, place)
    except (KeyError, TypeError, StopIteration, orjson.JSONDecodeError) as trouble:
        raise ValueError("not a form of o8's") from trouble


def chosen(view: dict[str, Any], name: str) -> str:
    """What is chosen in a form that is still open."""
    inputs = ((view.get("state") or {}).get("values") or {}).get(name) or {}
    return next((_value(one) for one in inputs.values()), "")


def options(values: list[str]) -> dict[str, Any]:
    """Choices for type-ahead, at most 100."""
    return {"options": [_option(value) for value in values if 0 < len(value) <= 150][:100]}


def _input(field: Field) -> Block:
    found: Block = {
        "type": "input", "block_id": field.name, "label": _plain(field.label, 2000), "optional": field.is_optional,
        "element": _element(field),
    }  # fmt: skip
    hint = " ".join(filter(None, (field.hint, _SECRET if field.kind == "secret" else "")))
    return found | ({"hint": _plain(hint, 2000)} if hint else {})


def _element(field: Field) -> Block:
    if field.kind == "choice" and field.source:
        return {"type": "external_select", "action_id": f"{PICK}{field.source}", "min_query_length": 0}
    if field.kind == "choice":
        choices = list(map(_option, field.choices))
        element: Block = {"type": "static_select", "action_id": field.name, "options": choices}
        return element | ({"initial_option": _option(field.value)} if field.value else {})
    if field.kind == "number":
        element = {"type": "number_input", "action_id": field.name, "is_decimal_allowed": False}
    else:
        element = {"type": "plain_text_input", "action_id": field.name}
    return element | ({"initial_value": field.value} if field.value else {})


def _value(given: dict[str, Any]) -> str:
    if "selected_option" in given:
        return str((given["selected_option"] or {}).get("value", ""))
    return str(given.get("value") or "")


def _option(value: str) -> Block:
    return {"text": _plain(value, 75), "value": value}


def _plain(text: str, most: int) -> Block:
    return {"type": "plain_text", "text": cut(plain(text), most) or " "}
