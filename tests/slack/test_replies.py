"""Every answer is a message that Slack takes, and nothing of it is lost: what is too long comes as a file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.notifiers.slack.blocks import Message
from bot.notifiers.slack.text import in_code
from handlers.chatops.reply import Button, Reply
from handlers.slack.replies import MOST_BUTTONS, TABLE, beginning, message_of, table
from lab.slack import screen
from lab.slack.limits import check_message
from tests.slack.test_text import hostile, mrkdwn, pings

pytestmark = pytest.mark.slow


def problems(message: Message) -> list[str]:
    return check_message({"text": message.text, "blocks": message.blocks})


def shown(message: Message) -> str:
    return screen.as_text({"blocks": message.blocks})


@given(hostile, st.lists(hostile, max_size=80), hostile, st.sampled_from([1, 100, 400]))
@settings(max_examples=40, deadline=None)
def test_every_reply_is_a_message_that_slack_takes(text: str, details: list[str], code: str, times: int) -> None:
    reply = Reply(
        text * times, tuple(details), table=(("a", "b"), *((one, text) for one in details)), code=code * times,
        buttons=tuple(Button(one, one, "danger", text) for one in details),
    )  # fmt: skip
    message = message_of(reply)
    assert problems(message) == []
    assert pings(mrkdwn(message)) == []
    for block in message.blocks:
        assert block["type"] != "section" or block["text"]["text"].count("```") in (0, 2)


def test_a_short_answer_has_no_file_and_keeps_its_order() -> None:
    message = message_of(
        Reply("Said.", ("One.", "Two."), table=(("a", "b"), ("1", "2")), code="log", buttons=(Button("Go", "go"),))
    )
    assert message.file is None
    assert message.text == "Said."
    assert re.sub(r"\s+", " ", shown(message)) == "Said. One. Two. a b 1 2 log [Go]"


def test_a_table_of_many_rows_shows_whole_lines_from_the_first_and_the_rest_in_a_file() -> None:
    rows = tuple((f"service-{number}", "live", "0005") for number in range(500))
    message = message_of(Reply("Many.", table=(("name", "state", "release"), *rows)))
    lines = shown(message).splitlines()
    assert any(re.fullmatch(r"name +state  release", line) for line in lines)
    assert any(line.startswith("service-0 ") for line in lines)
    assert all(line.endswith("0005") for line in lines if line.startswith("service-"))
    assert message.file and message.file[1].splitlines()[-1].startswith("service-499")
    assert len(message.file[1].splitlines()) == 502


def test_a_table_whose_signs_are_entities_shows_its_heading_too() -> None:
    rows = (("heading", "x"), *(("<" * 40, ">") for _ in range(200)))
    message = message_of(Reply("Many.", table=rows))
    assert "heading" in shown(message)
    assert problems(message) == []
    assert message.file


def test_a_log_that_is_too_long_shows_its_end_and_is_a_file_as_it_was() -> None:
    log = "\n".join(f"line {number}" for number in range(1000))
    message = message_of(Reply("A log.", code=log, file_name="web.log"))
    assert message.file == ("web.log", log)
    assert "the file `web.log`, to you alone" in shown(message)
    assert "line 999" in shown(message)
    assert message_of(Reply("A log.", code="<" * 2400, file_name="web.log")).file == ("web.log", "<" * 2400)
    assert message_of(Reply("A log.", code="x" * 2500)).file is None


@pytest.mark.parametrize("length", [2999, 3000, 3001, 9000, 40_000])
def test_no_detail_is_lost(length: int) -> None:
    """What does not fit is marked with an ellipsis, and in the file."""
    details = ("x" * length, "the last one")
    message = message_of(Reply("Said.", details))
    assert problems(message) == []
    whole = shown(message) if message.file is None else message.file[1]
    assert "x" * length in whole and "the last one" in whole
    assert (message.file is None) == (length <= 3000)


def test_many_details_are_a_file_and_the_buttons_stay() -> None:
    details = tuple(f"{number} {'x' * 2900}" for number in range(200))
    message = message_of(Reply("Said.", details, table=(("a", "b"),), code="log", buttons=(Button("Go", "go"),)))
    assert message.file and "199 xxx" in message.file[1] and message.file[1].endswith("log")
    assert shown(message).endswith("[Go]")
    assert problems(message) == []


def test_an_answer_stays_readable_however_long_it_is() -> None:
    message = message_of(
        Reply("&" * 9000, tuple("&" * 2900 for _ in range(50)), table=(("&" * 100,),) * 400, code="&" * 90_000)
    )
    assert sum(len(block["text"]["text"]) for block in message.blocks if "text" in block) < 32_000
    assert len(message.text) <= 4000


def test_too_many_buttons_are_left_out_and_the_others_are_told_apart() -> None:
    message = message_of(Reply("x", buttons=tuple(Button(f"{n}", f"status s{n}") for n in range(50))))
    found = list(screen.buttons(message.blocks))
    assert len(found) == MOST_BUTTONS
    assert len({button["action_id"] for button in found}) == MOST_BUTTONS


def test_a_cell_that_is_cut_says_so_and_is_whole_in_the_file() -> None:
    long = "x" * 400
    message = message_of(Reply("x", table=(("a", "b"), (long, "y"))))
    assert "x\u2026" in shown(message)
    assert message.file and long in message.file[1]
    digest = "ab" * 32
    assert digest in shown(message_of(Reply("x", table=(("a", "b", "c"), (digest, digest, "d")))))


@given(st.lists(st.lists(hostile, max_size=5), max_size=8))
def test_rows_of_unequal_length_break_no_table(rows: list[list[str]]) -> None:
    lines = table(rows).split("\n")
    assert len(lines) == max(len(rows), 1)


@given(st.lists(st.text("ab<\n`", max_size=900), max_size=9).map("\n".join))
def test_a_beginning_is_whole_lines(text: str) -> None:
    found, is_cut = beginning(text)
    assert text.startswith(found)
    assert is_cut == (found != text)
    assert found == text or text[len(found)] == "\n"
    assert len(in_code(found)) <= TABLE or "\n" not in found
