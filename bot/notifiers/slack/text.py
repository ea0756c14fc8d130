"""Any text, made safe for Slack: nothing in it can ping, link, colour, format, or break out of its block. Pure.

Slack has no sign that takes the meaning from `*`, `_` or `~`. In code they have none, so that is what they are put in:
what is copied from there is what was meant.
"""

from __future__ import annotations

import re
import unicodedata

# https://docs.slack.dev/messaging/formatting-message-text#escaping
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_ID = re.compile(r"[UW][A-Z0-9]{1,20}")
_CUT_ENTITY = re.compile(r"&[a-z]{0,3}$")
_MARKED = re.compile(
    r"`(?P<code>[^`\n]+)`"
    # Italic, bold, struck or a picture, were it left alone; marks within words (a_b, 2*3*4) mean nothing.
    r"|(?<!\w)_(?=\S)[^\n]+?(?<=\S)_(?!\w)"
    r"|(?<![^\W_])(?P<sign>[*~])(?=\S)[^\n]+?(?<=\S)(?P=sign)(?![^\W_])"
    r"|(?<![^\W_]):[0-9_+'-]*[a-z][a-z0-9_+'-]*:(?![^\W_])"
    r"|(?<!\w)#(?P<channel>[CG][A-Z0-9]{8,20})(?!\w)"  # by its id, which says nothing to people
    r"|(?P<tick>`)"
    r"|(?P<quote>^>)",
    re.MULTILINE,
)
_JOINER = "\u2060"  # has no width, and is no place to break a line at


def plain(text: str) -> str:
    """Without terminal colours and invisible characters (also those that turn the direction of writing)."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if text.replace("\n", "").replace("\t", "").isprintable():  # most are; of a long log it is 30 times as fast
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def escaped(text: str, most: int = 3000) -> str:
    """Plain text as mrkdwn that shows it as typed, with `what is between ticks` as code; at most `most` characters.

    A channel that is named by its id, as in `#C0123ABCDEF`, is shown by its name.
    """
    text, length = plain(text), most
    while len(found := _as_typed(cut(text, length))) > most:  # cut before it is marked: an end makes marks of signs
        length = length * most // len(found)
    return found


def named(text: str, most: int = 130) -> str:
    """A name as `escaped`, in one line."""
    return escaped(" ".join(plain(text).split()), most)


def span(text: str, most: int = 300) -> str:
    """`text` as code within a line; empty without any."""
    inner = re.sub(r"[\n\t]", " ", plain(text).replace("`", "'")).strip().translate(_ESCAPES)
    return f"`{cut(inner, most - 2)}`" if inner else ""


def in_code(text: str) -> str:
    """`text` as it stands in a code block. Three ticks would end that, so they are parted."""
    return re.sub(r"`{3,}", lambda ticks: "\u200b".join(ticks[0]), plain(text).translate(_ESCAPES)).strip("\n")


def code(text: str, most: int = 2900) -> str:
    """A code block; the end of a text of more than `most` characters is kept."""
    inner = in_code(text)
    if len(inner) > most:
        inner = re.sub(r"^[a-z]{0,4};", "", inner[-most:])
        inner = "\u2026" + inner.partition("\n")[2] if "\n" in inner[:200] else "\u2026" + inner
    return f"```\n{inner or ' '}\n```"


def cut(text: str, most: int) -> str:
    """At most `most` characters, with an ellipsis for what is missing."""
    if len(text) <= most:
        return text
    return _CUT_ENTITY.sub("", text[: max(most - 1, 0)]) + "\u2026"


def mention(slack_user: str) -> str:
    """The only way to name somebody so that Slack links them; raises `ValueError` for what is no id."""
    if not _ID.fullmatch(slack_user):
        raise ValueError(f"{slack_user!r} is no Slack user")
    return f"<@{slack_user}>"


def link(url: str, text: str) -> str:
    """A link; `url` is one that o8 made, or a `ValueError`."""
    if not re.fullmatch(r"https://[A-Za-z0-9./_~%:@=?&#+-]{1,1000}", url):
        raise ValueError(f"{url:.100!r} is no link of o8's")
    return f"<{url.replace('&', '&amp;')}|{cut(plain(text).replace('|', '/').translate(_ESCAPES), 200)}>"


def _as_typed(text: str) -> str:
    found, at = [], 0
    for mark in _MARKED.finditer(text):
        found += [text[at : mark.start()].translate(_ESCAPES), _unmarked(mark)]
        at = mark.end()
    return "".join([*found, text[at:].translate(_ESCAPES)])


def _unmarked(mark: re.Match[str]) -> str:
    if mark["channel"]:
        return f"<#{mark['channel']}>"
    if mark["tick"]:
        return "'"
    if mark["quote"]:
        return f"{_JOINER}&gt;"
    return span(mark["code"] or mark[0], most=100_000)
