"""From what people type to words and values: quotes and dashes of phones, Slack's escapes, durations, names. Pure.

To add a kind of value: a placeholder in `KINDS`.
"""

from __future__ import annotations

import difflib
import html
import re
import shlex
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot.permissions import GLOBAL, Action

# -- kinds of values


def _number(word: str) -> int:
    if not re.fullmatch(r"#?[0-9]{1,18}", word) or not word.isascii():
        raise ValueError("expected a number")
    return int(word.lstrip("#"))


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _duration(word: str) -> timedelta:
    if not re.fullmatch(r"([0-9]{1,6}[smhdw])+", word) or not word.isascii():
        raise ValueError("expected a time such as 10m, 2h or 1h30m")
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([smhdw])", word)))


def _who(word: str) -> str:
    """A Slack id (`<@U1|ada>`, `U012AB`) or a username of o8 (`@ada`, `ada`)."""
    if found := re.fullmatch(r"<@([UW][A-Z0-9]+)(\|[^>]*)?>", word):
        return found[1]
    name = word.removeprefix("@")
    if not re.fullmatch(r"[UW][A-Z0-9]{2,}|[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise ValueError("expected a person such as @ada")
    return name


def _channel(word: str) -> str:
    if found := re.fullmatch(r"<#([CG][A-Z0-9]+)(\|[^>]*)?>", word):
        return found[1]
    if not re.fullmatch(r"#?[a-z0-9_-]{1,80}|[CG][A-Z0-9]{2,}", word):
        raise ValueError("expected a channel such as #deployments")
    return word


def _action(word: str) -> Action:
    name = word.lower().replace("-", "_")
    if name in list(Action):
        return Action(name)
    close = difflib.get_close_matches(name, list(Action), n=1)
    raise ValueError(
        f"no such permission; did you mean {close[0]}" if close else f"expected one of {', '.join(Action)}"
    )


def _scope(word: str) -> str:
    name = word.lower().removeprefix("service:")
    return GLOBAL if name in (GLOBAL, "*") else f"service:{_service(name)}"


def _service(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", word.lower()):
        raise ValueError("no service can be called so")
    return word.lower()


def _word(word: str) -> str:
    if len(word) > 255:
        raise ValueError("too long")
    return word


KINDS: dict[str, Callable[[str], Any]] = {
    "SVC": _service, "RELEASE": _word, "ID": _number, "N": _number, "DURATION": _duration, "CHANNEL": _channel,
    "WHO": _who, "ACTION": _action, "SCOPE": _scope, "KEY": _word, "IMAGE": _word, "TOPIC": str, "TEXT": str,
    "USERNAME": _who, "CODE": _word,
}  # fmt: skip


# -- from Slack's text to words

# https://docs.slack.dev/messaging/formatting-message-text#escaping: `&`, `<` and `>` come as entities, names as `<...>`
_LINK = re.compile(r"<(?:https?://|mailto:)[^|>]*\|([^>]*)>|<(?:https?://|mailto:)([^>|]*)>")
_QUOTES = str.maketrans({
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2018": "'", "\u2019": "'", "\u00a0": " ", "\u2007": " ", "\u202f": " ",
})  # fmt: skip


def plain(text: str) -> str:
    """Links as what they show, quotes and dashes as keyboards have them, nothing that cannot be seen."""
    text = _LINK.sub(lambda found: found[1] or found[2] or "", text).translate(_QUOTES)
    text = re.sub(r"(?<!\S)[\u2014\u2013](?=\S)", "--", text)  # phones make one dash of two
    text = re.sub(r"(?<=\s)[\u2014\u2013](?=\s)", "--", text)
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    # `should_escape` leaves names as <@U1> but everything a person typed as entities
    return f" {html.unescape(text).strip()} "


def split(line: str) -> list[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars="")
    reader.whitespace_split, reader.commenters, reader.escape = True, "", ""
    try:
        return list(reader)
    except ValueError:  # a quote that is never closed is an apostrophe
        return line.split()


def without_prefix(words: list[str]) -> list[str]:
    """People also type the command again, or call the bot by its name."""
    while words and (words[0].lower() in ("/o8", "o8", "@o8") or re.fullmatch(r"<@[UW][A-Z0-9]+(\|[^>]*)?>", words[0])):
        words = words[1:]
    return words
