"""Any text, made safe for Slack: nothing in it can ping, link, colour, or break out of its block. Pure."""

from __future__ import annotations

import re
import unicodedata

# https://docs.slack.dev/messaging/formatting-message-text#escaping
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_ID = re.compile(r"[UW][A-Z0-9]{1,20}")
_CUT_ENTITY = re.compile(r"&[a-z]{0,3}$")


def plain(text: str) -> str:
    """Without terminal colours and invisible characters (also those that turn the direction of writing)."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def escaped(text: str, most: int = 3000) -> str:
    """`plain` for mrkdwn: shows as it is. At most `most` characters, never half an entity."""
    return cut(plain(text).translate(_ESCAPES), most)


def code(text: str, most: int = 2900) -> str:
    """A code block. Three backticks inside would end it, so they are parted; the end of a long text is kept."""
    inner = plain(text).translate(_ESCAPES).replace("```", "`\u200b`\u200b`").strip("\n")
    if len(inner) > most:
        inner = re.sub(r"^[a-z]{0,4};", "", inner[-most:])
        inner = "\u2026" + inner.partition("\n")[2] if "\n" in inner[:200] else "\u2026" + inner
    return f"```\n{inner or ' '}\n```"


def cut(text: str, most: int) -> str:
    """At most `most` characters, with an ellipsis for what is missing."""
    if len(text) <= most:
        return text
    return _CUT_ENTITY.sub("", text[: most - 1]) + "\u2026"


def mention(slack_user: str) -> str:
    """The only way to name somebody so that Slack links them; raises `ValueError` for what is no id."""
    if not _ID.fullmatch(slack_user):
        raise ValueError(f"{slack_user!r} is no Slack user")
    return f"<@{slack_user}>"


def link(url: str, text: str) -> str:
    """A link; `url` is one that o8 made."""
    if not re.fullmatch(r"https://[A-Za-z0-9./_~%:@=?&#+-]+", url):
        raise ValueError(f"{url!r} is no link of o8's")
    return f"<{url.replace('&', '&amp;')}|{escaped(text.replace('|', '/'), 200)}>"
