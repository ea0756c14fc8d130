"""Whatever a text holds, in Slack it is shown as it is: it pings nobody, links nowhere and breaks out of nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.notifiers.slack.blocks import Message, button, context, header, section
from bot.notifiers.slack.text import code, cut, escaped, link, mention, plain
from handlers.slack.replies import prose, table
from lab.slack.limits import check_blocks

EVIL = (
    "<!channel>", "<!here>", "<@U12345>", "<#C1|x>", "<http://evil.example|click>", "```", "`", "*", "_", "~", "&amp;",
    "&lt;!channel&gt;", "\x1b[31m", "\x1b]0;owned\x07", "\u202e", "\u200b", "\ufeff", "\0", "\r\n", "\ud800", "💥", "\t",
    "|",
)  # fmt: skip
hostile = st.lists(st.one_of(st.sampled_from(EVIL), st.text(max_size=20)), max_size=40).map("".join)


def pings(text: str) -> list[str]:
    """What Slack would take for a mention or a link in mrkdwn."""
    return re.findall(r"<[!@#a-z]", text)


def mrkdwn(message: Message) -> str:
    """All of a message that Slack reads as mrkdwn; labels of buttons are shown as they are."""
    texts = [b.get("text") for b in message.blocks if b["type"] == "section"]
    texts += [element for b in message.blocks if b["type"] == "context" for element in b["elements"]]
    return "\n".join([message.text, *(text["text"] for text in texts if text)])


@given(hostile)
def test_nothing_in_a_text_means_anything(text: str) -> None:
    assert pings(escaped(text)) == pings(code(text)) == pings(prose(text)) == []


@given(hostile, st.integers(20, 4000))
def test_a_cut_text_keeps_its_limit_and_no_half_entity(text: str, most: int) -> None:
    found = escaped(text * 20, most)
    assert len(found) <= most
    assert re.fullmatch(r"(?:[^&<>]|&(?:amp|lt|gt);)*", found)


@given(hostile)
def test_nothing_breaks_out_of_a_code_block(text: str) -> None:
    found = code(text * 50)
    assert found.startswith("```\n") and found.endswith("\n```")
    assert "```" not in found[3:-3]
    assert len(found) <= 3000


@given(hostile)
def test_colours_and_what_cannot_be_seen_are_gone(text: str) -> None:
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", plain(text)
    )


@given(hostile, hostile)
def test_every_block_made_of_any_text_is_one_that_slack_takes(text: str, other: str) -> None:
    blocks = [
        section(escaped(text * 100)), section(code(other * 300)), context(escaped(text), escaped(other)), header(text),
        {"type": "actions", "elements": [button(0, text, other[:2000], "danger", text)]},
        section(prose(f"{text} `{other}` {text}")), section(code(table([["a", "b"], [text, other]]))),
    ]  # fmt: skip
    assert check_blocks(blocks) == []


def test_forty_kilobytes_are_cut_and_the_end_of_a_log_is_what_is_kept() -> None:
    log = "\n".join(f"line {number}" for number in range(8000))
    assert "line 7999" in code(log)
    assert "line 0\n" not in code(log)
    assert escaped("x" * 40_000).endswith("\u2026")


@pytest.mark.parametrize("text", ["snake_case_name", "2*3*4", "a~b", "/var/lib/o8", "DATABASE_URL", "x < y && z"])
def test_names_and_sums_come_through_as_typed(text: str) -> None:
    shown = prose(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == text


def test_what_is_between_ticks_is_code_and_nothing_more() -> None:
    assert prose("say `/o8 help` & go") == "say `/o8 help` &amp; go"
    assert prose("a ` alone") == "a ` alone".replace("`", "`\u2060")


@pytest.mark.parametrize("id", ["", "U", "u123", "U1>", "U1|x", "!channel", "U1 ", "S123"])
def test_only_an_account_can_be_mentioned(id: str) -> None:
    with pytest.raises(ValueError):
        mention(id)
    assert mention("U12AB") == "<@U12AB>"


@pytest.mark.parametrize("url", ["http://x.example", "https://x.example/|evil", "https://x.example/<", "javascript:1"])
def test_only_our_own_links_are_made(url: str) -> None:
    with pytest.raises(ValueError):
        link(url, "x")
    assert link("https://github.com/acme/web/commit/abc", "a|b>") == "<https://github.com/acme/web/commit/abc|a/b&gt;>"


def test_a_button_that_cannot_hold_its_command_is_not_made() -> None:
    with pytest.raises(ValueError):
        button(0, "x", "y" * 2001)


def test_a_short_text_is_not_cut() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab\u2026"
