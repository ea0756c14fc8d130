"""The stand-in for Slack is as strict as Slack: seen with Slack's own library."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from lab.slack import FakeSlack, fake_slack, sign
from lab.slack.limits import check_blocks, check_message, check_view

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}


def text(length: int, kind: str = "plain_text") -> dict[str, str]:
    return {"type": kind, "text": "x" * length}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": text(1), "action_id": "a"} | more


CONFIRM = {name: text(1) for name in ("title", "text", "confirm", "deny")}


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with fake_slack() as slack:
        yield slack


@pytest.fixture
def client(slack: FakeSlack) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=slack.url, retry_handlers=[])


async def refusal(work: Any) -> str:
    with pytest.raises(SlackApiError) as refused:
        await work
    return str(refused.value.response["error"])


async def test_a_message_is_posted_edited_and_found_with_its_metadata(slack: FakeSlack, client: AsyncWebClient) -> None:
    metadata = {"event_type": "o8_card", "event_payload": {"card": "deployment:1"}}
    posted = await client.chat_postMessage(channel="#deployments", text="one", blocks=[SECTION], metadata=metadata)
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="two")
    assert [(m.text, m.edits) for m in slack.messages("deployments")] == [("two", 1)]
    found = await client.conversations_history(channel=posted["channel"], include_all_metadata=True)
    assert found["messages"][0]["metadata"] == metadata
    hidden = await client.conversations_history(channel=posted["channel"])
    assert "metadata" not in hidden["messages"][0]


async def test_a_thread_is_asked_for_by_its_first_message(slack: FakeSlack, client: AsyncWebClient) -> None:
    head = await client.chat_postMessage(channel="#deployments", text="head")
    await client.chat_postMessage(channel="#deployments", text="reply", thread_ts=head["ts"])
    found = await client.conversations_replies(channel=head["channel"], ts=head["ts"])
    assert {message["text"] for message in found["messages"]} == {"head", "reply"}
    assert [m.text for m in slack.thread("deployments", head["ts"])] == ["reply"]
    assert await refusal(client.conversations_replies(channel=head["channel"], ts="1.000000")) == "thread_not_found"


async def test_a_file_takes_three_calls_and_lands_in_its_channel(slack: FakeSlack, client: AsyncWebClient) -> None:
    channel = slack.channel("deployments")
    assert channel
    await client.files_upload_v2(channel=channel.id, filename="web.log", content="line 1\nline 2")
    file = next(iter(slack.files.values()))
    assert (file.name, file.content, file.channel) == ("web.log", b"line 1\nline 2", channel.id)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (lambda s: s.archive("deployments"), "is_archived"), (lambda s: s.remove_bot("deployments"), "not_in_channel"),
        (lambda s: s.revoke_token(), "token_revoked"),
        (lambda s: s.fail("chat.postMessage", "fatal_error"), "fatal_error"),
        (lambda s: s.missing_scopes.add("chat.postMessage"), "missing_scope"),
    ],
)  # fmt: skip
async def test_a_post_is_refused_in_slacks_words(
    slack: FakeSlack, client: AsyncWebClient, trouble: Any, error: str
) -> None:
    trouble(slack)
    assert await refusal(client.chat_postMessage(channel="#deployments", text="x")) == error


async def test_tokens_channels_and_messages_must_be_right(slack: FakeSlack, client: AsyncWebClient) -> None:
    wrong = AsyncWebClient(token="xoxb-wrong", base_url=slack.url, retry_handlers=[])
    assert await refusal(wrong.auth_test()) == "invalid_auth"
    assert await refusal(client.chat_postMessage(channel="#nowhere", text="x")) == "channel_not_found"
    assert await refusal(client.chat_postMessage(channel="#deployments", text="")) == "no_text"
    assert await refusal(client.chat_update(channel="#deployments", ts="1.0", text="x")) == "channel_not_found"
    channel = slack.channel("deployments")
    assert channel
    assert await refusal(client.chat_update(channel=channel.id, ts="1.0", text="x")) == "message_not_found"
    assert await refusal(client.api_call("chat.teleport")) == "unknown_method"


async def test_a_second_post_a_second_is_allowed_and_a_burst_is_not(slack: FakeSlack, client: AsyncWebClient) -> None:
    async def post() -> None:
        await client.chat_postMessage(channel="#deployments", text="x")

    for _ in range(3):
        await post()
    with pytest.raises(SlackApiError) as refused:
        await post()
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["Retry-After"]) >= 1


async def test_a_dropped_answer_is_carried_out_all_the_same(slack: FakeSlack, client: AsyncWebClient) -> None:
    slack.drop_answers(1)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="#deployments", text="x")
    assert len(slack.messages("deployments")) == 1


async def test_while_down_nothing_is_carried_out(slack: FakeSlack, client: AsyncWebClient) -> None:
    slack.down()
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="#deployments", text="x")
    assert slack.messages("deployments") == []


async def test_a_trigger_opens_one_view_within_three_seconds() -> None:
    now = [1000.0]
    async with fake_slack(lambda: now[0]) as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.url, retry_handlers=[])
        view: dict[str, Any] = {"type": "modal", "title": text(3), "blocks": [SECTION]}
        trigger = slack.new_trigger("U1")
        await client.views_open(trigger_id=trigger, view=view)
        assert await refusal(client.views_open(trigger_id=trigger, view=view)) == "exchanged_trigger_id"
        late = slack.new_trigger("U1")
        now[0] += 4
        assert await refusal(client.views_open(trigger_id=late, view=view)) == "expired_trigger_id"


async def test_an_answer_address_takes_five_in_thirty_minutes() -> None:
    now = [1000.0]
    async with fake_slack(lambda: now[0]) as slack, aiohttp.ClientSession() as session:
        user = slack.add_user("ada")
        url = slack.new_response_url(user, "deployments")

        async def answer(url: str) -> int:
            async with session.post(url, json={"text": "x"}) as found:
                return found.status

        assert [await answer(url) for _ in range(6)] == [200] * 5 + [404]
        other = slack.new_response_url(user, "deployments")
        now[0] += 1801
        assert await answer(other) == 404


def test_slacks_own_library_accepts_our_signatures(slack: FakeSlack) -> None:
    stamp, body = str(int(time.time())), b"a=b"
    verifier = SignatureVerifier(slack.signing_secret)
    assert verifier.is_valid(body, stamp, sign(slack.signing_secret, stamp, body))
    assert not verifier.is_valid(body, stamp, sign("another", stamp, body))


@pytest.mark.parametrize(
    "blocks",
    [
        [SECTION] * 51, [{"type": "section", "text": text(3001, "mrkdwn")}], [{"type": "section", "text": text(0)}],
        [{"type": "section"}], [{"type": "marquee"}], ["x"], "x", [{"type": "header", "text": text(151)}],
        [{"type": "header", "text": text(5, "mrkdwn")}], [{"type": "context", "elements": [text(1)] * 11}],
        [{"type": "context", "elements": []}], [{"type": "actions", "elements": [button()] * 26}],
        [{"type": "actions", "elements": [button(text=text(76))]}],
        [{"type": "actions", "elements": [button(value="x" * 2001)]}],
        [{"type": "actions", "elements": [button(action_id="x" * 256)]}],
        [{"type": "actions", "elements": [button(style="loud")]}],
        [{"type": "actions", "elements": [button(), button()]}],
        [{"type": "actions", "elements": [button(confirm=CONFIRM | {"title": text(101)})]}],
        [{"type": "section", "fields": [text(1)] * 11}],
        [{"type": "section", "text": text(1), "accessory": {"type": "robot"}}],
        [{"type": "actions", "elements": [{"type": "static_select", "action_id": "a", "options": []}]}],
    ],
)  # fmt: skip
def test_what_slack_would_refuse_is_refused(blocks: Any) -> None:
    assert check_blocks(blocks)


def test_what_slack_takes_is_taken() -> None:
    """The control."""
    assert check_blocks([SECTION, {"type": "divider"}, {"type": "actions", "elements": [button()]}]) == []
    assert check_message({"text": "x" * 40_000}) == []
    assert check_message({"text": "x" * 40_001})


@pytest.mark.parametrize(
    "change",
    [
        {"title": text(25)}, {"private_metadata": "x" * 3001}, {"callback_id": "x" * 256}, {"type": "window"},
        {"blocks": [{"type": "input", "label": text(1), "element": {"type": "plain_text_input"}}]},
        {"submit": text(25)}, {"blocks": [SECTION] * 101},
    ],
)  # fmt: skip
def test_views_have_limits_too(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"type": "modal", "title": text(24), "blocks": [SECTION]}
    assert check_view(good) == []
    assert check_view(good | change)
