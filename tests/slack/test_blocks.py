"""Blocks keep Slack's limits whatever they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given

from bot.notifiers.slack.blocks import Choice, actions, buttons, context, divider, header, message, plain_text, section
from bot.notifiers.slack.text import code, escaped
from handlers.slack.replies import table
from lab.slack.limits import check_blocks
from tests.slack.test_text import hostile

pytestmark = pytest.mark.slow


@given(hostile, hostile)
def test_every_block_made_of_any_text_is_one_that_slack_takes(text: str, other: str) -> None:
    blocks = [
        section(escaped(text * 100)), section(code(other * 300)), context(escaped(text), escaped(other)), header(text),
        *actions(buttons([Choice(text, other[:2000], "danger", text), Choice(other, text[:2000])])),
        section(escaped(f"{text} `{other}` {text}")), section(code(table([["a", "b"], [text, other]]))),
    ]  # fmt: skip
    assert check_blocks(blocks) == []


def test_a_button_that_cannot_hold_its_command_is_not_made() -> None:
    found = buttons([Choice("x", "y" * 2001), Choice("z", "z" * 2000)])
    assert [button["text"]["text"] for button in found] == ["z"]


def test_a_question_is_answered_with_the_deed_itself() -> None:
    [button] = buttons([Choice("Cancel", "cancel 1", "danger", "Cancel it?")])
    assert button["confirm"]["confirm"]["text"] == "Yes, cancel"
    assert button["confirm"]["deny"]["text"] == "No"


def test_nothing_is_made_a_link_by_slack_itself() -> None:
    """https://docs.slack.dev/reference/block-kit/composition-objects/text-object: `@here` in a log would count."""
    assert section("x")["text"]["verbatim"] and context("x")["elements"][0]["verbatim"]


def test_a_label_of_any_length_is_cut_to_what_a_button_holds() -> None:
    assert check_blocks(actions(buttons([Choice("x" * 100, "go", "danger", "y" * 1000)]))) == []
    [button] = buttons([Choice("x" * 100, "go")])
    assert button["text"]["text"] == "x" * 74 + "\u2026"


def test_no_buttons_are_no_block() -> None:
    assert actions([]) == []


def test_more_buttons_than_a_block_holds_are_left_out() -> None:
    found = actions(buttons(Choice(f"{number}", "go") for number in range(60)))
    assert check_blocks(found) == []
    assert len(found[0]["elements"]) == 25


def test_the_style_is_there_only_where_there_is_one() -> None:
    """Slack refuses an empty one."""
    plain, danger = buttons([Choice("a", "a"), Choice("b", "b", "danger")])
    assert "style" not in plain and "confirm" not in plain
    assert danger["style"] == "danger"


def test_what_says_nothing_is_still_a_block() -> None:
    empty = [section(""), context(), context("", ""), header("\u200b"), divider()]
    assert check_blocks(empty) == []
    assert plain_text("\u200b", 10)["text"] == " "


def test_only_texts_that_say_something_are_in_a_context() -> None:
    assert [e["text"] for e in context("a", "", "b")["elements"]] == ["a", "b"]
    assert len(context(*"abcdefghijklmnop")["elements"]) == 10


@pytest.mark.parametrize("count", [0, 1, 50, 51, 300])
def test_a_message_has_at_most_fifty_blocks_and_four_thousand_characters(count: int) -> None:
    found = message("x" * 5000, [divider()] * count)
    assert len(found.blocks) == min(count, 50)
    assert len(found.text) == 4000
