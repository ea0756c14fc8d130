"""What Slack refuses in messages and views, as documented at https://docs.slack.dev/reference/block-kit"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Block = dict[str, Any]
MESSAGE_BLOCKS, HOME_BLOCKS, TEXT = 50, 100, 40_000


def check_message(body: dict[str, Any]) -> list[str]:
    """Problems of a chat.postMessage or chat.update; empty for a good one."""
    blocks = body.get("blocks") or []
    problems = [] if len(str(body.get("text", ""))) <= TEXT else ["text: more than 40,000 characters"]
    return problems + check_blocks(blocks)


def check_blocks(blocks: Any, most: int = MESSAGE_BLOCKS) -> list[str]:
    if not isinstance(blocks, list):
        return ["blocks: not a list"]
    problems = [f"blocks: {len(blocks)}, at most {most}"] if len(blocks) > most else []
    for index, block in enumerate(blocks):
        problems += [f"blocks[{index}] {problem}" for problem in _block(block)]
    ids = [e.get("action_id") for b in blocks for e in _elements(b) if e.get("action_id")]
    problems += [f"action_id {id!r} twice" for id in {id for id in ids if ids.count(id) > 1}]
    return problems


def check_view(view: Any) -> list[str]:
    """Problems of a modal or home view."""
    if not isinstance(view, dict) or view.get("type") not in ("modal", "home"):
        return ["view: neither modal nor home"]
    problems = check_blocks(view.get("blocks"), HOME_BLOCKS)
    if view["type"] == "modal":
        problems += list(_plain(view.get("title"), "title", 24))
        for name in ("submit", "close"):
            if name in view:
                problems += list(_plain(view[name], name, 24))
        if any(b.get("type") == "input" for b in view.get("blocks", [])) and "submit" not in view:
            problems.append("submit: needed with inputs")
    for name, most in (("private_metadata", 3000), ("callback_id", 255)):
        if len(view.get(name, "")) > most:
            problems.append(f"{name}: {len(view[name])} characters, at most {most}")
    return problems


def _block(block: Any) -> Iterator[str]:
    if not isinstance(block, dict):
        yield "not an object"
        return
    kind = block.get("type")
    if len(block.get("block_id", "")) > 255:
        yield "block_id: more than 255 characters"
    if kind == "section":
        yield from _section(block)
    elif kind == "context":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 10:
            yield f"context: {len(elements)} elements"
        for element in elements:
            yield from _text(element, "context", 3000)
    elif kind == "actions":
        elements = block.get("elements", [])
        if not 1 <= len(elements) <= 25:
            yield f"actions: {len(elements)} elements"
        for element in elements:
            yield from _element(element)
    elif kind == "header":
        yield from _plain(block.get("text"), "header", 150)
    elif kind == "input":
        yield from _plain(block.get("label"), "label", 2000)
        if "hint" in block:
            yield from _plain(block["hint"], "hint", 2000)
        yield from _element(block.get("element"))
    elif kind != "divider":
        yield f"unknown type {kind!r}"


def _section(block: Block) -> Iterator[str]:
    if "text" in block:
        yield from _text(block["text"], "section", 3000)
    fields = block.get("fields", [])
    if "text" not in block and not fields:
        yield "section: neither text nor fields"
    if len(fields) > 10:
        yield f"section: {len(fields)} fields"
    for field in fields:
        yield from _text(field, "field", 2000)
    if "accessory" in block:
        yield from _element(block["accessory"])


def _element(element: Any) -> Iterator[str]:
    if not isinstance(element, dict):
        yield "element: not an object"
        return
    kind = element.get("type")
    if not 1 <= len(element.get("action_id", "?")) <= 255:
        yield "action_id: 1 to 255 characters"
    if "placeholder" in element:
        yield from _plain(element["placeholder"], "placeholder", 150)
    if "confirm" in element:
        yield from _confirm(element["confirm"])
    if kind == "button":
        yield from _plain(element.get("text"), "button", 75)
        if len(element.get("value", "")) > 2000:
            yield "button: value over 2,000 characters"
        if element.get("style", "primary") not in ("primary", "danger"):
            yield f"button: style {element['style']!r}"
    elif kind in ("static_select", "multi_static_select", "overflow", "radio_buttons", "checkboxes"):
        options = element.get("options", [])
        most = {"overflow": 5, "radio_buttons": 10, "checkboxes": 10}.get(str(kind), 100)
        if not 1 <= len(options) <= most:
            yield f"{kind}: {len(options)} options"
        for option in options:
            yield from check_option(option)
        if "initial_option" in element and element["initial_option"] not in options:
            yield f"{kind}: initial_option is none of the options"
    elif kind == "external_select":
        if not isinstance(element.get("min_query_length", 3), int):
            yield "external_select: min_query_length"
        if "initial_option" in element:
            yield from check_option(element["initial_option"])
    elif kind in ("plain_text_input", "number_input"):
        if len(element.get("initial_value", "")) > 3000:
            yield "input: initial_value over 3,000 characters"
        if kind == "number_input" and "is_decimal_allowed" not in element:
            yield "number_input: is_decimal_allowed is missing"
    else:
        yield f"unknown element {kind!r}"


def check_option(option: Any) -> Iterator[str]:
    """Problems of one choice of a menu."""
    if not isinstance(option, dict):
        yield "option: not an object"
        return
    yield from _plain(option.get("text"), "option", 75)
    if not 1 <= len(option.get("value", "")) <= 150:
        yield "option: value of 1 to 150 characters"


def _confirm(confirm: Any) -> Iterator[str]:
    for name, most in (("title", 100), ("confirm", 30), ("deny", 30)):
        yield from _plain(confirm.get(name), f"confirm.{name}", most)
    yield from _text(confirm.get("text"), "confirm.text", 300)


def _text(text: Any, where: str, most: int) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in ("mrkdwn", "plain_text"):
        yield f"{where}: no text object"
    elif not 1 <= len(text.get("text", "")) <= most:
        yield f"{where}: {len(text.get('text', ''))} characters, 1 to {most}"


def _plain(text: Any, where: str, most: int) -> Iterator[str]:
    if isinstance(text, dict) and text.get("type") != "plain_text":
        yield f"{where}: plain_text is needed"
    else:
        yield from _text(text, where, most)


def _elements(block: Any) -> Iterator[Block]:
    if isinstance(block, dict):
        yield from block.get("elements", []) if block.get("type") == "actions" else []
        yield from (block[name] for name in ("accessory", "element") if isinstance(block.get(name), dict))
