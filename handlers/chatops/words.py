"""From what people type to words and values: quotes and dashes of phones, Slack's escapes, durations, names. Pure.

To add a kind of value: a placeholder in `KINDS`.
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot.permissions import GLOBAL, Action, scope_of

# -- kinds of values


def _number(word: str) -> int:
    if not re.fullmatch(r"#?[0-9]{1,18}", word) or not word.isascii():
        raise ValueError("expected a number")
    return int(word.lstrip("#"))


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_S = 3650 * 86400


def _duration(word: str) -> timedelta:
    if not re.fullmatch(r"([0-9]{1,9}[smhdw])+", word) or not word.isascii():
        raise ValueError("expected a time such as 10m, 2h or 1h30m")
    seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([smhdw])", word))
    if not 1 <= seconds <= _LONGEST_S:  # none at all would mean "for ever" where a time is optional
        raise ValueError("expected a time from 1s to 3650d")
    return timedelta(seconds=seconds)


SLACK_ID = re.compile(r"[UW][A-Z0-9]+")  # usernames of o8 have no capitals
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(\|[^>]*)?>")


def _who(word: str) -> str:
    """A Slack id (`<@U1|ada>`, `U012AB`) or a username of o8 (`@ada`, `Ada`)."""
    if found := _MENTION.fullmatch(word):
        return found[1]
    name = word.removeprefix("@")
    if SLACK_ID.fullmatch(name):
        return name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise ValueError("expected a person such as @ada")
    return name.lower()


def _login(word: str) -> str:
    """At GitHub: `ada-l`, `@ada-l`."""
    if not re.fullmatch(r"@?[A-Za-z0-9][A-Za-z0-9_-]{0,38}", word):
        raise ValueError("expected a login at GitHub such as ada-l")
    return word.removeprefix("@")


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
    """`global`, `web` or `service:web`; a service that is called `global` is `service:global`."""
    name = word.lower()
    return GLOBAL if name in (GLOBAL, "*") else scope_of(_service(name.removeprefix("service:")))


def _service(word: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", word.lower()):
        raise ValueError("no service can be called so")
    return word.lower()


def _word(word: str) -> str:
    if not 1 <= len(word) <= 255:
        raise ValueError("expected 1 to 255 characters")
    return word


def _variable(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", word):
        raise ValueError("expected the name of a variable")
    return word


KINDS: dict[str, Callable[[str], Any]] = {
    "SVC": _service, "RELEASE": _word, "ID": _number, "N": _number, "DURATION": _duration, "CHANNEL": _channel,
    "WHO": _who, "ACTION": _action, "SCOPE": _scope, "KEY": _variable, "IMAGE": _word, "TOPIC": str, "TEXT": str,
    "USERNAME": _who, "CODE": _word, "LOGIN": _login,
}  # fmt: skip


# -- from Slack's text to words

# https://docs.slack.dev/messaging/formatting-message-text#escaping: `&`, `<` and `>` come as entities, names as `<...>`
# The only three that it makes, of what people typed; `&amp;` is the last, as `&amp;lt;` is a typed `&lt;`.
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_LINK = re.compile(r"<(?:https?://|mailto:)[^|>]*\|([^>]*)>|<(?:https?://|mailto:)([^>|]*)>")
_QUOTES = str.maketrans({
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u2018": "'", "\u2019": "'",
})  # fmt: skip


def plain(text: str) -> str:
    """Links as what they show, quotes and dashes as keyboards have them, nothing that cannot be seen."""
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    text = _LINK.sub(lambda found: found[1] or found[2] or "", text).translate(_QUOTES)
    text = re.sub(r"(?<![^\s\"'])[\u2014\u2013]", "--", text)  # phones make one dash of two
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    return f" {text.strip()} "


def escaped(text: str) -> str:
    """The other way round, as far as Slack does it."""
    for entity, sign in reversed(_ENTITIES):
        text = text.replace(sign, entity)
    return text


def quoted(word: str) -> str:
    """`word` so that `split` makes one and the same of it."""
    is_safe = re.fullmatch(r"[!#-&(-~]+", word) and word != "--"
    return word if is_safe else "'" + word.replace("'", "'\"'\"'") + "'"


def at_reason(line: str) -> tuple[str, str, str]:
    """`line` parted at the first ` -- ` that no quotes are around; at the first one if quotes are never closed."""
    quote = ""
    for place, sign in enumerate(line):
        if sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
        elif not quote and line.startswith(" -- ", place):
            return line[:place], " -- ", line[place + 4 :]
    return line.partition(" -- ") if quote else (line, "", "")


def split(line: str) -> list[str]:
    """Words, of which quotes make one; a quote that is never closed is an apostrophe."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="")
    reader.whitespace_split, reader.commenters, reader.escape = True, "", ""
    try:
        return list(reader)
    except ValueError:
        return line.split()


def without_prefix(words: list[str]) -> list[str]:
    """People also type the command again, or call the bot by its name."""
    while words and (words[0].lower() in ("/o8", "o8", "@o8") or _MENTION.fullmatch(words[0])):
        words = words[1:]
    return words
