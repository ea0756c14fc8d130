"""What a card says and offers in each state: made of every state there is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.configuration import read
from bot.models import CANCELLABLE, Deployment, Hold, Kind, Service, State, Step
from bot.notifiers.slack.blocks import Message
from bot.notifiers.slack.cards import Facts, deployment_card
from bot.notifiers.slack.steps import progress, steps_message
from lab.slack import screen
from lab.slack.limits import check_message
from tests.slack.test_text import hostile, mrkdwn, pings

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
IMAGE = "ghcr.io/acme/web"
CONFIGURATION = read({"name": "web", "image": IMAGE, "port": 80})
BUTTONS = {
    State.WAITING: ["Approve", "Reject"],
    **{state: ["Logs", "Cancel"] for state in CANCELLABLE - {State.WAITING}},
    State.FAILED: ["Logs", "Retry"],
    State.HELD: ["Logs", "Deploy now"],
    State.ROLLED_BACK: ["Logs"],
    State.NEEDS_ATTENTION: ["Status"],
}


def deployment(state: State, kind: Kind = Kind.DEPLOY, **more: Any) -> Deployment:
    values: dict[str, Any] = {
        "id": 12, "service": "web", "kind": kind, "state": state, "actor": "slack:T1:U12AB", "image": IMAGE,
        "tag": "0005", "digest": "sha256:" + "ab" * 32, "configuration": CONFIGURATION, "created_at": NOW,
    }  # fmt: skip
    return Deployment.model_validate(values | more)


def service(**more: Any) -> Service:
    values: dict[str, Any] = {"name": "web", "configuration": CONFIGURATION, "block": 1, "created_at": NOW}
    return Service.model_validate(values | more)


def facts(found: Deployment, *, is_live: bool = False, is_held: bool = False, is_newest: bool = True,
          previous: Deployment | None = None, is_gone: bool = False) -> Facts:  # fmt: skip
    hold = Hold(reason="x", actor="cli:root", since=NOW) if is_held else None
    place = None if is_gone else service(live=found.id if is_live else 3, hold=hold)
    return Facts(found, place, previous, is_newest)


def labels(message: Message) -> list[str]:
    return [button["text"]["text"] for button in screen.buttons(message.blocks)]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("how", [{}, {"is_live": True}, {"is_held": True}, {"is_newest": False}, {"is_gone": True}])
def test_every_card_is_one_that_slack_takes_and_says_it_all_in_one_sentence(
    state: State, kind: Kind, how: dict[str, bool]
) -> None:
    found = deployment(state, kind, target=3 if kind is Kind.ROLLBACK else None, error="It exited.", reason="why not")
    message = deployment_card(facts(found, previous=deployment(State.SUCCEEDED, tag="0004"), **how))
    assert check_message({"text": message.text, "blocks": message.blocks}) == []
    assert len(message.blocks) <= 8
    assert message.text.startswith("web 0005 ")
    assert "<@U12AB>" in message.text


@pytest.mark.parametrize("state", State)
def test_only_what_is_valid_now_is_offered(state: State) -> None:
    assert labels(deployment_card(facts(deployment(state)))) == BUTTONS.get(state, [])


@pytest.mark.parametrize("state", [State.DRAINING, State.WATCHING, State.SUCCEEDED])
def test_what_serves_can_be_rolled_back_when_there_is_something_to_return_to(state: State) -> None:
    before = deployment(State.SUCCEEDED, tag="0004")
    found = deployment(state)
    assert "Roll back" in labels(deployment_card(facts(found, is_live=True, previous=before)))
    assert "Roll back" not in labels(deployment_card(facts(found, is_live=True)))
    assert "Roll back" not in labels(deployment_card(facts(found, is_live=False, previous=before)))


def test_a_hold_is_lifted_from_the_card_that_set_it() -> None:
    rolled_back = deployment(State.ROLLED_BACK)
    assert "Resume" in labels(deployment_card(facts(rolled_back, is_held=True)))
    assert "Resume" not in labels(deployment_card(facts(rolled_back)))
    by_hand = deployment(State.SUCCEEDED, Kind.ROLLBACK, target=3)
    assert "Resume" in labels(deployment_card(facts(by_hand, is_live=True, is_held=True)))


@pytest.mark.parametrize("state", [State.FAILED, State.HELD])
def test_what_is_past_is_not_offered_again(state: State) -> None:
    assert "Retry" not in labels(deployment_card(facts(deployment(state), is_newest=False)))
    assert "Deploy now" not in labels(deployment_card(facts(deployment(state), is_newest=False)))


def test_a_service_that_was_removed_offers_nothing() -> None:
    for state in State:
        assert labels(deployment_card(facts(deployment(state), is_gone=True))) == []


def test_what_cannot_be_undone_asks_first() -> None:
    cancel = deployment_card(facts(deployment(State.PULLING)))
    back = deployment_card(facts(deployment(State.SUCCEEDED), is_live=True, previous=deployment(State.SUCCEEDED)))
    for message, label in ((cancel, "Cancel"), (back, "Roll back")):
        button = next(b for b in screen.buttons(message.blocks) if b["text"]["text"] == label)
        assert button["confirm"]


def test_the_commit_is_a_link_to_what_changed() -> None:
    before = deployment(State.SUCCEEDED, tag="0004", commit="a" * 40)
    now = deployment(State.SUCCEEDED, commit="b" * 40)
    assert f"https://github.com/acme/web/compare/{'a' * 40}...{'b' * 40}" in str(
        deployment_card(facts(now, previous=before))
    )
    assert f"https://github.com/acme/web/commit/{'b' * 40}" in str(deployment_card(facts(now)))
    elsewhere = deployment(State.SUCCEEDED, commit="b" * 40, image="registry.example/acme/web")
    assert "github.com" not in str(deployment_card(facts(elsewhere, previous=before)))


@pytest.mark.parametrize(
    ("actor", "words"),
    [("delivery:abc", "a push"), ("poller", "the poller"), ("cli:root", "root on the server"), ("o8", "o8 itself")],
)
def test_who_asked_is_said_in_words(actor: str, words: str) -> None:
    assert f"by {words}" in deployment_card(facts(deployment(State.QUEUED, actor=actor))).text


def test_who_approved_is_said_too() -> None:
    found = deployment(State.QUEUED, actor="delivery:1", approved_by="slack:T1:U99ZZ")
    assert "approved by <@U99ZZ>" in deployment_card(facts(found)).text


def test_progress_marks_where_it_is() -> None:
    steps = (Step(state=State.PULLING, started_at=NOW, ended_at=NOW + timedelta(seconds=2)),)
    assert "pull 2.0 s" in progress(deployment(State.CHECKING, steps=steps))
    assert "*check*" in progress(deployment(State.CHECKING, steps=steps))
    assert progress(deployment(State.QUEUED)) == progress(deployment(State.SUCCEEDED)) == ""


@given(hostile, hostile, hostile)
def test_no_text_of_others_pings_or_breaks_a_card(error: str, reason: str, log: str) -> None:
    found = deployment(
        State.FAILED, error=error * 30, reason=reason[:500], log=log * 300, next_step=error, actor="cli:x"
    )
    for message in (deployment_card(facts(found)), steps_message(found), steps_message(found, is_short=True)):
        assert check_message({"text": message.text, "blocks": message.blocks}) == []
        assert pings(mrkdwn(message)) == []


def test_a_long_log_is_a_file_and_its_end_is_shown() -> None:
    log = "\n".join(f"line {number}" for number in range(1000))
    message = steps_message(deployment(State.FAILED, log=log, exit_code=137))
    text = screen.as_text({"blocks": message.blocks})
    assert "line 999" in text
    assert "exit code 137" in text
    assert message.file == ("web-12.log", log)
    assert steps_message(deployment(State.FAILED, log="short")).file is None


@given(st.integers(0, 400))
def test_any_number_of_steps_stays_in_its_block(count: int) -> None:
    steps = tuple(Step(state=State.PULLING, started_at=NOW, ended_at=NOW) for _ in range(count))
    message = steps_message(deployment(State.SUCCEEDED, steps=steps))
    assert check_message({"text": message.text, "blocks": message.blocks}) == []
    first = message.blocks[0]["text"]["text"]
    assert first.count("```") == 2 and re.search(r"```$", first)
