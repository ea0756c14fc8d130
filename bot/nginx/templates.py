"""Fills `nginx_templates/` and proves that no value has left its place. To add a template: a file there, loops only.

The proof: the text is made twice, with the real values and with harmless placeholders. Both are parsed; the
placeholders are replaced in the parsed tree; then both trees must be equal. A value that opens a block, ends a
directive, adds a word or starts a comment changes the tree.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import crossplane
import jinja2

from bot.errors import NginxError
from bot.nginx.files import reporting

_PACKAGE = Path(__file__).parents[1]
_ENVIRONMENT = jinja2.Environment(  # noqa: S701 - nginx is not HTML; `render` proves what escaping could only promise
    # In the wheel the templates are part of the package, in a working copy they are beside it.
    loader=jinja2.FileSystemLoader([_PACKAGE / "nginx_templates", _PACKAGE.parent / "nginx_templates"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_PLACEHOLDER = re.compile(r"o8leaf(\d+)end")
# nginx and the parser read the rest differently (`$` and `\`), or as a pattern (`~`).
_READ_ALIKE = re.compile(r"(?!~)[!-~]*")
_AMBIGUOUS = re.compile(r"[$\\]")

Value = dict[str, Any]  # of dicts, lists, strings and numbers
Tree = list[tuple[str, list[str], Any]]  # directive, arguments, block


def render(template: str, value: Value) -> str:
    """Text of `template` filled with `value`; raises `NginxError` when a value would mean more than a value."""
    return _render(template, json.dumps(value))


@lru_cache(maxsize=1024)  # sites are rendered again with every look at what should be
def _render(template: str, value_json: str) -> str:
    value = json.loads(value_json)
    _each_leaf(value, _checked)
    text = fill(template, value)
    if parse(text) != expected_tree(template, value):
        raise NginxError(
            f"A value would change the structure of {template}, so it was not written.",
            "Look for spaces, quotes, `;`, `{`, `}` or `#` in the service file and the settings.",
        )
    return text


def fill(template: str, value: Value) -> str:
    """The template's text, unproven; raises `NginxError` when it asks for more than `value` has."""
    try:
        return _ENVIRONMENT.get_template(template).render(value)
    except jinja2.TemplateError as error:
        raise NginxError(f"{template} cannot be filled: {error}.", "This is a fault of o8: report it.") from error


def expected_tree(template: str, value: Value) -> Tree:
    """What the filled template must parse to: its tree as written, with each value inside one argument."""
    leaves: list[str] = []

    def replace(leaf: str) -> str:
        leaves.append(leaf)
        return f"o8leaf{len(leaves) - 1}end"

    tree = parse(fill(template, _each_leaf(value, replace)))
    return _each_leaf(tree, lambda text: _PLACEHOLDER.sub(lambda found: leaves[int(found[1])], text))  # type: ignore[no-any-return]


def parse(text: str) -> Tree:
    """Directives of an nginx file, without places and comments; raises `NginxError` when it is none."""
    folder = Path(tempfile.gettempdir())
    with reporting(folder), tempfile.NamedTemporaryFile("w", prefix="o8-", dir=folder) as file:
        file.write(text)  # crossplane reads files only
        file.flush()
        try:
            payload = crossplane.parse(file.name, single=True, check_ctx=False, check_args=False)
        except StopIteration:  # how crossplane meets the end of a file inside a directive
            payload = {"errors": [{"error": "unexpected end of file"}]}
    if payload["errors"]:
        raise NginxError(f"The nginx text cannot be parsed: {payload['errors'][0]['error']}.")
    return _plain(payload["config"][0]["parsed"])


def _plain(block: Any) -> Tree:
    return [(line["directive"], line["args"], _plain(line.get("block", []))) for line in block]


def _each_leaf(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_leaf(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each_leaf(inner, change) for inner in value)
    return change(str(value))


def _checked(leaf: str) -> str:
    if not _READ_ALIKE.fullmatch(leaf) or _AMBIGUOUS.search(leaf):
        raise NginxError(
            f"{leaf!r:.80} cannot be written into an nginx file.",
            "Use letters, digits and the usual signs; no spaces, `$`, `\\` or leading `~`.",
        )
    return leaf
