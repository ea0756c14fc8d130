"""Whatever a text holds, in Slack it is shown as it is: it pings nobody, links nowhere and breaks out of nothing."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.notifiers.slack.blocks import Message
from bot.notifiers.slack.text import code, cut, escaped, link, mention, named, plain, span

EVIL = (
    "<!channel>", "<!here>", "<@U12345>", "<#C1|x>", "<http://evil.example|click>", "```", "`", "*", "_", "~", "&amp;",
    "&lt;!channel&gt;", "\x1b[31m", "\x1b]0;owned\x07", "\u202e", "\u200b", "\ufeff", "\0", "\r\n", "\ud800", "💥",
    "\t", "|",
)  # fmt: skip
hostile = st.lists(st.one_of(st.sampled_from(EVIL), st.text(max_size=20)), max_size=40).map("".join)


def as_shown(text: str) -> str:
    """What people see of mrkdwn, as far as we make it: code without its ticks, entities as signs."""
    return (
        re.sub(r"`([^`\n]*)`", r"\1", text)
        .replace("\u2060", "")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )


def formatted(text: str) -> list[str]:
    """What Slack would make bold, italic, struck, an emoji or a quote of: https://docs.slack.dev/messaging/formatting"""
    outside = re.sub(r"`[^`\n]+`", "\u2423", text)
    italic = r"(?<!\w)_(?=\S)[^\n]+?(?<=\S)_(?!\w)"
    bold = r"(?<![^\W_])([*~])(?=\S)[^\n]+?(?<=\S)\1(?![^\W_])"
    emoji, quote = r"(?<![^\W_]):[\w+-]*[a-z][a-z0-9_+-]*:(?![^\W_])", r"(?m:^&gt;)"
    return [found[0] for found in re.finditer(f"{bold}|{italic}|{emoji}|{quote}|`", outside)]


def pings(text: str) -> list[str]:
    """What Slack would take for a mention or a link in mrkdwn."""
    return re.findall(r"<[^\n]*", text)


def mrkdwn(message: Message) -> str:
    """All of a message that Slack reads as mrkdwn; labels of buttons are shown as they are."""
    texts = [b.get("text") for b in message.blocks if b["type"] == "section"]
    texts += [element for b in message.blocks if b["type"] == "context" for element in b["elements"]]
    return "\n".join([message.text, *(text["text"] for text in texts if text)])


@given(hostile)
def test_nothing_in_a_text_means_anything(text: str) -> None:
    assert pings(escaped(text)) == pings(code(text)) == pings(span(text)) == pings(named(text)) == []
    assert formatted(escaped(text)) == formatted(span(text)) == formatted(named(text)) == []


@given(st.text(alphabet="ab1*_~`:;>&. \n-", max_size=60))
@example(":a:_1_")
@example("_a_*b*")
def test_a_text_shows_as_it_was_typed(text: str) -> None:
    def without_ticks(text: str) -> str:  # those become code, or apostrophes where they are alone
        return re.sub(r"[`'\s]", "", text)

    found = escaped(text)
    assert without_ticks(as_shown(found)) == without_ticks(text)
    assert formatted(found) == []


@given(hostile, st.integers(20, 4000))
@example("*00000000000000000<http://evil.example|click>`", 366)  # where it was cut, a `*` became the end of a bold text
@settings(deadline=None)
def test_a_cut_text_keeps_its_limit_and_no_half_entity(text: str, most: int) -> None:
    found = escaped(text * 20, most)
    assert len(found) <= most
    assert formatted(found) == []
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


def test_forty_kilobytes_are_cut_and_the_end_of_a_log_is_what_is_kept() -> None:
    log = "\n".join(f"line {number}" for number in range(8000))
    assert "line 7999" in code(log)
    assert "line 0\n" not in code(log)
    assert escaped("x" * 40_000).endswith("\u2026")


@pytest.mark.parametrize(
    "text",
    [
        "snake_case_name", "2*3*4", "2 * 3 * 4", "a~b", "/var/lib/o8", "/srv/_site/_more", "~/.ssh and ~/bin",
        "*.py and *.txt", "DATABASE_URL", "APP__DB__HOST", "x < y && z", "at 10:30:45", "0.0.0.0:8080: in use",
        "ghcr.io/acme/web:1_2",
        "it's", "--dry-run",
    ],
)  # fmt: skip
def test_names_paths_and_sums_can_be_copied_as_they_were_typed(text: str) -> None:
    assert html.unescape(escaped(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("say *no* now", "say `*no*` now"), ("__init__.py", "`__init__`.py"), ("was ~0004~", "was `~0004~`"),
        ("*two words*", "`*two words*`"), (":rotating_light: x", "`:rotating_light:` x"),
        ("> quoted", "\u2060&gt; quoted"), ("*see `x` now*", "`*see 'x' now*`"),
    ],
)  # fmt: skip
def test_what_slack_would_format_is_code_as_it_was_typed(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_what_is_between_ticks_is_code_and_nothing_more() -> None:
    assert escaped("say `/o8 help` & go") == "say `/o8 help` &amp; go"
    assert escaped('`a  "b *c*"`') == '`a  "b *c*"`'
    assert escaped("a ` alone") == "a ' alone"
    assert "```" not in escaped("```\nx\n```")


@pytest.mark.parametrize("count", range(1, 12))
def test_any_number_of_ticks_stays_in_its_code_block(count: int) -> None:
    assert "```" not in code(f"a{'`' * count}b")[3:-3]
    assert "\u200b" not in code(f"a{'`' * min(count, 2)}b")  # what ends no block is left as it is


def test_a_cut_text_never_leaves_code_open() -> None:
    for most in range(1, 60):
        assert escaped("before `some code that is long` and after", most).count("`") % 2 == 0


def test_a_channel_that_is_known_by_its_id_is_shown_by_its_name() -> None:
    assert escaped("its card is in #C0123ABCDEF.") == "its card is in <#C0123ABCDEF>."
    assert escaped("its card is in #deployments.") == "its card is in #deployments."


def test_a_name_is_one_line() -> None:
    assert named("a\nb\t c") == "a b c"
    assert span("a\n`b`") == "`a 'b'`"
    assert span(" \n") == ""


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


def test_a_short_text_is_not_cut() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab\u2026"
