"""Forms become modals that Slack takes, and come back as what was entered. Replies become messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Place
from handlers.chatops import verbs as verbs
from handlers.chatops.reply import Button, Field, Form, Reply
from handlers.slack.forms import options, read, view_of
from handlers.slack.replies import message_of
from lab.slack import screen
from lab.slack.limits import check_message, check_option, check_view
from tests.slack.test_text import hostile, mrkdwn, pings

PLACE = Place(team="T1", user="U1", channel="C1", response_url="https://hooks.slack.com/commands/T1/1/abc")
FORM = Form(
    "install", "Install a service", "Install",
    (
        Field("name", "Name", value="web"), Field("port", "Port", "number", value="80"),
        Field("value", "Value", "secret"),
        Field("auto", "Pushes", "choice", value="on", choices=("on", "off")),
        Field("svc", "Service", "choice", source="services", is_optional=True),
    ),
    {"image": "ghcr.io/acme/web"}, about="ghcr.io/acme/web",
)  # fmt: skip


def filled(view: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """As Slack sends it back."""
    state = {}
    for block in view["blocks"]:
        if block["type"] == "input":
            value = values.get(block["block_id"])
            is_menu = "select" in block["element"]["type"]
            given = {"selected_option": {"value": value} if value else None} if is_menu else {"value": value}
            state[block["block_id"]] = {block["element"]["action_id"]: given}
    return view | {"state": {"values": state}}


def test_a_form_is_a_modal_that_slack_takes() -> None:
    view = view_of(FORM, PLACE)
    assert check_view(view) == []
    kinds = [block["element"]["type"] for block in view["blocks"] if block["type"] == "input"]
    assert kinds == ["plain_text_input", "number_input", "plain_text_input", "static_select", "external_select"]


@given(st.text(min_size=1), st.text(min_size=1))
def test_what_was_entered_comes_back_as_it_was(name: str, value: str) -> None:
    found = read(filled(view_of(FORM, PLACE), {"name": name, "value": value, "auto": "off"}))
    assert found.values == {"name": name, "value": value, "auto": "off"}
    assert (found.verb, found.fixed, found.place) == ("install", {"image": "ghcr.io/acme/web"}, PLACE)


@pytest.mark.parametrize(
    "metadata", ["", "x", "[]", "{}", '{"verb": "install"}', '{"verb": 1, "fixed": {}, "place": 3}']
)
def test_what_is_not_ours_is_refused(metadata: str) -> None:
    view = filled(view_of(FORM, PLACE), {}) | {"private_metadata": metadata}
    with pytest.raises(ValueError):
        read(view)
    with pytest.raises(ValueError):
        read({"private_metadata": metadata})


@given(st.lists(hostile, max_size=300))
def test_choices_of_any_kind_are_ones_that_slack_takes(values: list[str]) -> None:
    found = options(values)["options"]
    assert len(found) <= 100
    assert [problem for option in found for problem in check_option(option)] == []


@given(hostile, st.lists(hostile, max_size=80), hostile)
def test_every_reply_is_a_message_that_slack_takes(text: str, details: list[str], code: str) -> None:
    reply = Reply(
        text, tuple(details), table=(("a", "b"), *((one, text) for one in details)), code=code * 100,
        buttons=tuple(Button(one, one) for one in details),
    )  # fmt: skip
    message = message_of(reply)
    assert check_message({"text": message.text, "blocks": message.blocks}) == []
    assert pings(mrkdwn(message)) == []


def test_a_long_table_and_a_long_log_are_files_with_nothing_left_out() -> None:
    rows = tuple((f"service-{number}", "live") for number in range(500))
    found = message_of(Reply("Many.", table=(("name", "state"), *rows)))
    assert found.file and len(found.file[1].splitlines()) == 501
    log = "\n".join(f"line {number}" for number in range(1000))
    assert message_of(Reply("A log.", code=log, file_name="web.log")).file == ("web.log", log)


def test_rows_of_unequal_length_break_no_table() -> None:
    assert "a" in screen.as_text({"blocks": message_of(Reply("x", table=(("a", "b"), ("c", "d")))).blocks})
