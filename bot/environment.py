"""A service's environment: `.env` text kept as written, edited line by line, masked in everything people see. Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

from dotenv.parser import Binding, parse_stream

from bot.errors import InvalidInput

MAX_BYTES = 256 * 1024  # Docker passes the environment in one request; Linux limits one value to 128 KiB
MASK = "********"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SHORTEST_SECRET = 5  # masking "1" or "true" by value would make every log unreadable


def parse(text: str) -> dict[str, str]:
    """Names and values of a `.env` text; the last of a repeated name wins.

    Raises `InvalidInput` naming the line (never its value) that is no `NAME=value`, comment or blank.
    """
    return {b.key: b.value or "" for b in _bindings(text) if b.key is not None}


def with_value(text: str, name: str, value: str) -> str:
    """`text` with `name` set to `value`; every other line, comments too, stays as written."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r:.80} is not a name for an environment variable.", "Letters, digits and _; no digit first."
        )
    if "\0" in value:
        raise InvalidInput(f"The value of {name} holds a zero byte, which no environment can carry.")
    line = f"{name}={_quoted(value)}\n"
    lines, is_set = [], False
    for binding in _bindings(text):
        if binding.key != name:
            lines.append(binding.original.string)
        elif not is_set:
            lines.append(_leading_blank_lines(binding) + line)
            is_set = True
    if not is_set:
        if lines and not lines[-1].endswith("\n"):
            lines.append("\n")
        lines.append(line)
    return _checked("".join(lines))


def without(text: str, name: str) -> str:
    """`text` without `name`; raises `InvalidInput` when it is not there."""
    bindings = list(_bindings(text))
    if all(binding.key != name for binding in bindings):
        raise InvalidInput(f"{name!r:.80} is not set.", "`o8 env list` shows the names.")
    return "".join(b.original.string for b in bindings if b.key != name)


class Mask:
    """Replaces each of `values` (of five characters or more) by asterisks, longest first. Made once for many texts."""

    def __init__(self, values: Iterable[str]) -> None:
        # A multi-line value comes out of a log one line at a time.
        secrets = {part for value in values for part in (value, *value.splitlines())}
        self._secrets = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:  # for fewer than a hundred, this is faster than one regular expression
            text = text.replace(secret, MASK)
        return text


def lines(text: str) -> list[tuple[str, str]]:
    """Each line of a `.env` text as written and as it may be shown: names and comments, no part of a value.

    Raises `InvalidInput` as `parse`.
    """
    found: list[tuple[str, str]] = []
    for binding in _bindings(text):
        is_begun = binding.key is None
        for line in binding.original.string.splitlines():
            if is_begun or not line.strip():
                found.append((line, line if binding.key is None else MASK))
                continue
            found.append((line, f"{line.partition('=')[0]}={MASK}" if "=" in line else line))
            is_begun = True
    return found


def mask(text: str, values: Iterable[str]) -> str:
    """`text` as `Mask` shows it."""
    return Mask(values)(text)


def _bindings(text: str) -> Iterator[Binding]:
    _checked(text)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and not _NAME.fullmatch(binding.key)):
            raise InvalidInput(
                f"Line {binding.original.line} of the environment is not NAME=value, a comment or blank.",
                "Quote values that span lines.",
            )
        yield binding


def _checked(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, as a shell passes on bytes that are no UTF-8
        raise InvalidInput("The environment holds characters that are no text.", "Save it as UTF-8.") from None
    if "\0" in text:
        raise InvalidInput("The environment holds a zero byte, which no environment can carry.")
    if size > MAX_BYTES:
        raise InvalidInput(f"The environment is larger than {MAX_BYTES // 1024} KiB.", "Mount a file instead.")
    return text


def _leading_blank_lines(binding: Binding) -> str:
    written = binding.original.string
    return written[: len(written) - len(written.lstrip("\r\n"))]


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=-]*", value):
        return value
    if "\\" not in value and "'" not in value:
        return f"'{value}'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
