"""Forms as modals of Slack, and what comes back as values. Pure. https://docs.slack.dev/surfaces/modals"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from bot.chat import Place
from bot.notifiers.slack.blocks import Block, plain_text, section
from bot.notifiers.slack.text import escaped
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


class _Metadata(BaseModel):
    """What of a form travels through Slack."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verb: str
    fixed: dict[str, str] = {}
    place: Place


def view_of(form: Form, place: Place) -> dict[str, Any]:
    """The modal; where it was asked for travels in it."""
    about = [section(escaped(form.about))] if form.about else []
    metadata = _Metadata(verb=form.verb, fixed=form.fixed, place=place)
    found = {
        "type": "modal", "callback_id": CALLBACK, "private_metadata": metadata.model_dump_json(exclude_defaults=True),
        "title": plain_text(form.title, 24), "close": plain_text("Cancel" if form.fields else "Close", 24),
        "blocks": [*about, *map(_input, form.fields)],
    }  # fmt: skip
    return found | ({"submit": plain_text(form.submit, 24)} if form.fields else {})


def read(view: dict[str, Any]) -> Filled:
    """What came back. Raises `ValueError` for a view that is not ours."""
    try:
        metadata = _Metadata.model_validate_json(view["private_metadata"])
        state = view["state"]["values"]
        values = {block: _value(next(iter(inputs.values()))) for block, inputs in state.items()}
    except (AttributeError, KeyError, TypeError, StopIteration) as trouble:
        raise ValueError("not a form of o8's") from trouble
    if metadata.fixed.keys() & values.keys():
        raise ValueError("not a form of o8's")
    return Filled(metadata.verb, metadata.fixed, {k: v for k, v in values.items() if v}, metadata.place)


def chosen(view: dict[str, Any], name: str) -> str:
    """What is chosen in a form that is still open."""
    inputs = ((view.get("state") or {}).get("values") or {}).get(name) or {}
    return next((_value(one) for one in inputs.values()), "")


def options(values: Iterable[str]) -> dict[str, Any]:
    """Choices of a menu, at most 100."""
    return {"options": [_option(value) for value in values if 0 < len(value) <= 150][:100]}


def _input(field: Field) -> Block:
    found: Block = {
        "type": "input", "block_id": field.name, "label": plain_text(field.label, 2000), "optional": field.is_optional,
        "element": _element(field),
    }  # fmt: skip
    hint = " ".join(filter(None, (field.hint, _SECRET if field.kind == "secret" else "")))
    return found | ({"hint": plain_text(hint, 2000)} if hint else {})


def _element(field: Field) -> Block:
    if field.kind == "choice" and field.source:
        return {"type": "external_select", "action_id": f"{PICK}{field.source}", "min_query_length": 0}
    if field.kind == "choice":
        element: Block = {"type": "static_select", "action_id": field.name} | options(field.choices)
        chosen_before = _option(field.value)
        return element | ({"initial_option": chosen_before} if chosen_before in element["options"] else {})
    if field.kind == "number":
        element = {"type": "number_input", "action_id": field.name, "is_decimal_allowed": False}
    else:
        # A secret may be a key of many lines, of which a small field would make one.
        element = {"type": "plain_text_input", "action_id": field.name, "multiline": field.kind == "secret"}
    return element | ({"initial_value": field.value} if field.value else {})


def _value(given: dict[str, Any]) -> str:
    if "selected_option" in given:
        return str((given["selected_option"] or {}).get("value", ""))
    return str(given.get("value") or "")


def _option(value: str) -> Block:
    return {"text": plain_text(value, 75), "value": value}
