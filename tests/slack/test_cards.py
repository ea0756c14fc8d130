"""What a card says and offers in each state: made of every state there is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import CardKind, lasting
from bot.configuration import read
from bot.models import AFTER_SWITCH, CANCELLABLE, Deployment, Hold, Kind, Service, State, Step, Wanted
from bot.notifiers.slack.blocks import Message
from bot.notifiers.slack.cards import Facts, Rendered, deployment_card, render
from bot.notifiers.slack.steps import progress, steps_message
from bot.permissions import Action
from bot.store import Store, packages
from handlers.chatops import grammar
from handlers.chatops import verbs as verbs  # fills the registry
from lab.slack import screen
from lab.slack.limits import check_message
from tests.slack.test_text import hostile, mrkdwn, pings

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
IMAGE = "ghcr.io/acme/web"
CONFIGURATION = read({"name": "web", "image": IMAGE, "port": 80})
BUTTONS = {
    State.WAITING: ["Approve", "Reject"],
    **{state: ["Logs", "Cancel"] for state in CANCELLABLE - {State.WAITING}},
    State.QUEUED: ["Cancel"],
    State.SWITCHING: ["Logs"],
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
          previous: Deployment | None = None, is_gone: bool = False, is_first: bool = False) -> Facts:  # fmt: skip
    hold = Hold(reason="x", actor="cli:root", since=NOW) if is_held else None
    place = None if is_gone else service(live=found.id if is_live else None if is_first else 3, hold=hold)
    return Facts(found, place, previous, is_newest)


def sections(message: Message) -> list[str]:
    return [block["text"]["text"] for block in message.blocks if block["type"] == "section"]


def labels(message: Message) -> list[str]:
    return [button["text"]["text"] for button in screen.buttons(message.blocks)]


RUNNING = [s for s in State if not s.is_ending and s not in (State.WAITING, State.QUEUED)]


def problems(message: Message) -> list[str]:
    return check_message({"text": message.text, "blocks": message.blocks})


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
def test_every_card_is_one_that_slack_takes_and_says_it_all_in_one_sentence(state: State, kind: Kind) -> None:
    found = deployment(
        state, kind, target=3 if kind is Kind.ROLLBACK else None, error="It exited.", reason="why not", commit="b" * 40,
        started_at=NOW, finished_at=NOW, approved_by="slack:T1:U34CD", next_step="Look at it.",
    )  # fmt: skip
    before = deployment(State.SUCCEEDED, tag="0004", commit="a" * 40)
    for is_live, is_held, is_newest, is_gone, has_previous in product((True, False), repeat=5):
        previous = before if has_previous else None
        message = deployment_card(
            facts(found, is_live=is_live, is_held=is_held, is_newest=is_newest, is_gone=is_gone, previous=previous)
        )
        assert problems(message) == []
        assert len(message.blocks) <= 8
        assert re.match(r"web 0005 \(.+ by <@U12AB>, approved by <@U34CD>\) [a-z].+\. It exited\.$", message.text)


@pytest.mark.parametrize("kind", Kind)
def test_a_card_tells_the_states_apart(kind: Kind) -> None:
    said = {state: deployment_card(facts(deployment(state, kind))).text for state in State}
    alike = {State.RESOLVING, State.PULLING, State.STARTING, State.CHECKING, State.SWITCHING}, AFTER_SWITCH
    assert len(set(said.values())) == len(State) - sum(len(each) - 1 for each in alike)


@pytest.mark.parametrize("state", State)
def test_a_line_of_progress_is_there_while_it_runs(state: State) -> None:
    shown = screen.as_text({"blocks": deployment_card(facts(deployment(state))).blocks})
    assert ("switch" in shown) == (state in RUNNING)


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


@pytest.mark.parametrize("state", State)
def test_what_has_never_served_has_no_log_to_look_at(state: State) -> None:
    assert "Logs" not in labels(deployment_card(facts(deployment(state), is_first=True)))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
def test_what_cannot_be_undone_asks_first(state: State, kind: Kind) -> None:
    found = deployment(state, kind, target=3)
    for is_live in (True, False):
        message = deployment_card(facts(found, is_live=is_live, previous=deployment(State.SUCCEEDED, tag="0004")))
        for button in screen.buttons(message.blocks):
            is_dangerous = button["value"].startswith(("cancel", "rollback", "stop"))
            assert ("confirm" in button) == is_dangerous
            assert button.get("style") == "danger" or not is_dangerous


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (Kind.DEPLOY, "deploy web 0005"), (Kind.RESTART, "restart web"), (Kind.CONFIGURE, "restart web"),
        (Kind.START, "start web"), (Kind.ROLLBACK, "rollback web #3 --yes"),
    ],
)  # fmt: skip
def test_retry_asks_for_the_same_again(kind: Kind, command: str) -> None:
    message = deployment_card(facts(deployment(State.FAILED, kind, target=3)))
    retry = next(button for button in screen.buttons(message.blocks) if button["text"]["text"] == "Retry")
    assert retry["value"] == command
    asked = grammar.parse(command)
    assert asked.verb.name == command.split()[0] and asked.values["svc"] == "web"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
def test_every_button_is_a_command_that_o8_understands(state: State, kind: Kind) -> None:
    found = deployment(state, kind, target=3)
    for is_live, is_held in product((True, False), repeat=2):
        message = deployment_card(facts(found, is_live=is_live, is_held=is_held, previous=found))
        for button in screen.buttons(message.blocks):
            grammar.parse(button["value"])


def test_next_steps_are_said_in_commands_of_chat() -> None:
    said = "`o8 deployments 12` shows its last lines. `o8 doctor` shows what is wrong; or `o8 user list`."
    shown = screen.as_text(
        {"blocks": deployment_card(facts(deployment(State.FAILED, error="x", next_step=said))).blocks}
    )
    assert "Its last lines are in the thread. `/o8 doctor` shows what is wrong; or `o8 user list`." in shown


def test_what_it_replaced_is_named_where_it_did() -> None:
    before = deployment(State.SUCCEEDED, tag="0004")
    assert "instead of 0004" in str(deployment_card(facts(deployment(State.SUCCEEDED), previous=before)))
    assert "instead of" not in str(deployment_card(facts(deployment(State.FAILED), previous=before)))
    assert "instead of" not in str(
        deployment_card(facts(deployment(State.SUCCEEDED, Kind.RESTART), previous=deployment(State.SUCCEEDED)))
    )


def test_what_serves_again_is_named() -> None:
    before = deployment(State.SUCCEEDED, tag="0004")
    message = deployment_card(facts(deployment(State.ROLLED_BACK), previous=before))
    assert message.text == "web 0005 (deploy by <@U12AB>) was taken back by o8; 0004 serves again."
    assert "instead of" not in str(message)


def test_time_is_counted_from_the_push_but_not_while_somebody_thinks() -> None:
    times: Any = {"started_at": NOW + timedelta(hours=3), "switched_at": NOW + timedelta(hours=3, seconds=12)}
    approved = deployment(State.SUCCEEDED, approved_by="slack:T1:U34CD", **times)
    assert "live after 12 s" in str(deployment_card(facts(approved)))
    assert "live after 3 h" in str(deployment_card(facts(deployment(State.SUCCEEDED, **times))))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (0, "0 s"), (90, "90 s"), (119.9, "2 min"), (150, "2 min"), (7199, "2 h"), (172_800, "2 d")],
)
def test_a_span_is_said_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert lasting(NOW, NOW + timedelta(seconds=seconds)) == words


def test_the_commit_is_a_link_to_what_changed() -> None:
    before = deployment(State.SUCCEEDED, tag="0004", commit="a" * 40)
    now = deployment(State.SUCCEEDED, commit="b" * 40)
    assert f"https://github.com/acme/web/compare/{'a' * 40}...{'b' * 40}" in str(
        deployment_card(facts(now, previous=before))
    )
    assert f"https://github.com/acme/web/commit/{'b' * 40}" in str(deployment_card(facts(now)))
    assert "/compare/" not in str(deployment_card(facts(now, previous=now)))
    elsewhere = deployment_card(
        facts(deployment(State.SUCCEEDED, commit="b" * 40, image="registry.example/acme/web"), previous=before)
    )
    assert "github.com" not in str(elsewhere)
    assert "commit bbbbbbb" in str(elsewhere)


@pytest.mark.parametrize("commit", ["", "main", "b" * 39, "b" * 41, "../x", "b" * 39 + "|", "B" * 40])
def test_what_is_no_commit_is_no_link(commit: str) -> None:
    assert "github.com" not in str(deployment_card(facts(deployment(State.SUCCEEDED, commit=commit))))


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


@given(st.sampled_from(State), st.sampled_from(Kind), hostile, hostile, st.sampled_from([1, 2, 100]))
@settings(max_examples=40, deadline=None)
def test_no_text_of_others_pings_or_breaks_a_card(state: State, kind: Kind, text: str, more: str, times: int) -> None:
    found = deployment(
        state, kind, error=text * times, reason=more * times, log=text * times, next_step=more, tag=more * times,
        digest=text, commit=text or "b" * 40, service=text * times, image=more * times, actor=f"cli:{text}", target=3,
    )  # fmt: skip
    before = found.model_copy(update={"tag": text * times, "commit": "a" * 40})
    message = deployment_card(facts(found, is_live=True, previous=before))
    assert len(message.blocks) <= 8
    for each in (message, steps_message(found), steps_message(found, is_short=True)):
        assert problems(each) == []
        assert pings(re.sub(r"<https://github\.com/[\w./-]+\|[\w ]+>", "", mrkdwn(each))) == []
        assert all(text.count("```") in (0, 2) for text in sections(each))


def test_what_is_hidden_from_the_check_above_would_be_found() -> None:
    assert pings("a <!channel>") and pings("<@U1>") and pings("<http://x|y>")
    assert pings("a &lt;!channel&gt;") == []


def test_a_log_that_only_slack_makes_long_is_a_file_too() -> None:
    assert steps_message(deployment(State.FAILED, log="<" * 2400)).file == ("web-12.log", "<" * 2400)
    assert steps_message(deployment(State.FAILED, log="x" * 2500)).file is None
    assert steps_message(deployment(State.FAILED, log="x" * 2501)).file is not None
    assert steps_message(deployment(State.FAILED, log="x" * 2501), is_short=True).file is None


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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "o8.db")
    await store.apply(CONFIGURATION, 100)
    yield store
    await store.close()


async def shown(store: Store, kind: CardKind, subject: object, *, is_short: bool = False) -> tuple[Rendered, str]:
    """A card as it is true now, once it is sure that Slack takes it."""
    found = await render(await store.card(kind, str(subject)), store, is_short=is_short)
    assert found and problems(found.message) == [] and pings(mrkdwn(found.message).replace("<@U12AB>", "")) == []
    return found, screen.as_text({"blocks": found.message.blocks})


async def test_the_card_of_a_service_that_was_removed_still_tells_but_offers_nothing(store: Store) -> None:
    wanted = Wanted(service="web", kind=Kind.DEPLOY, actor="slack:T1:U12AB", tag="0005", needs_approval=True)
    id = (await store.want(wanted)).id
    found, words = await shown(store, CardKind.DEPLOYMENT, id)
    assert "[Approve] [Reject]" in words
    assert found.is_trouble  # somebody has to do something, also at night
    await store.forget_service("web")
    _, words = await shown(store, CardKind.DEPLOYMENT, id)
    assert "web 0005 was cancelled" in words and "[" not in words


async def test_a_card_that_slack_found_too_long_is_one_sentence(store: Store) -> None:
    wanted = Wanted(service="web", kind=Kind.DEPLOY, actor="slack:T1:U12AB", tag="0005", reason="x" * 400)
    found, words = await shown(store, CardKind.DEPLOYMENT, (await store.want(wanted)).id, is_short=True)
    assert words == found.message.text == "web 0005 (deploy by <@U12AB>) is queued."


async def test_a_wish_for_a_right_has_buttons_until_it_is_decided(store: Store) -> None:
    await store.grant_slack("T1", "U12AB", "ada", Action.VIEW_STATUS, "service:web", "o8")
    id = await store.request_access(
        "ada", "slack:T1:U12AB", Action.DEPLOY, "service:web", "on *call* <!channel> `x` " * 40
    )
    found, words = await shown(store, CardKind.REQUEST, id)
    assert words.startswith("<@U12AB> asks for `deploy` in `service:web`: on `call`") and found.is_trouble
    assert "[Grant] [Grant for 8 hours] [Deny]" in words
    for button in screen.buttons(found.message.blocks):
        grammar.parse(button["value"])
    await store.decide_request(id, "cli:root", is_granted=False)
    found, words = await shown(store, CardKind.REQUEST, id)
    assert words.endswith("denied by root on the server") and not found.is_trouble
    assert "[" not in words


@pytest.mark.parametrize("tag", ["", "0001"])
async def test_a_new_image_can_be_installed_or_refused_until_it_was(store: Store, tag: str) -> None:
    await store.write(partial(packages.seen, image="ghcr.io/acme/new", tag=tag, digest="sha256:" + 64 * "0"))
    found, words = await shown(store, CardKind.PACKAGE, "ghcr.io/acme/new")
    as_what = f", as `{tag}`" if tag else ""
    assert f"`ghcr.io/acme/new` was pushed{as_what}, and no service uses it." in words
    assert [grammar.parse(b["value"]).verb.name for b in screen.buttons(found.message.blocks)] == ["install", "dismiss"]
    await store.write(partial(packages.seen, image="ghcr.io/acme/new", tag="0002", digest="", delivery="d1"))
    _, words = await shown(store, CardKind.PACKAGE, "ghcr.io/acme/new")
    assert words == "`ghcr.io/acme/new` was pushed, as `0002`, and o8 makes a service of it."
    await store.offer_package("ghcr.io/acme/new", "<!here> names no `port`")
    found, words = await shown(store, CardKind.PACKAGE, "ghcr.io/acme/new")
    assert "o8 does not install it by itself: " in words and "&lt;!here&gt; names no" in str(found.message.blocks)
    assert [b["text"]["text"] for b in screen.buttons(found.message.blocks)] == ["Install", "Not this one"]
    await store.package_installed("ghcr.io/acme/new", "new-2")
    _, words = await shown(store, CardKind.PACKAGE, "ghcr.io/acme/new")
    assert words == "`ghcr.io/acme/new` was installed as new-2."
    await store.dismiss_package("ghcr.io/acme/new")
    _, words = await shown(store, CardKind.PACKAGE, "ghcr.io/acme/new")
    assert words == "`ghcr.io/acme/new` was dismissed."
