"""Methods of Slack's Web API with its real conditions and error words: https://docs.slack.dev/reference/methods

To add one: a function marked `@method`.
"""

from __future__ import annotations

from typing import Any

from lab.slack.limits import check_message, check_view
from lab.slack.server import TRIGGER_S, Body, FakeSlack, Refused, method
from lab.slack.workspace import SlackChannel, SlackFile, SlackMessage, SlackView


@method("api.test")
async def api_test(slack: FakeSlack, body: Body) -> Body:
    return {}


@method("auth.test")
async def auth_test(slack: FakeSlack, body: Body) -> Body:
    return {
        "team_id": slack.team, "team": "Lab", "user_id": slack.bot_user, "user": "o8", "bot_id": slack.bot_id,
        "url": "https://lab.slack.com/",
    }  # fmt: skip


@method("chat.postMessage")
async def post_message(slack: FakeSlack, body: Body) -> Body:
    channel = _writable(slack, body)
    _check(body)
    message = _message(slack, channel, body)
    channel.messages.append(message)
    return {"channel": channel.id, "ts": message.ts, "message": _shown(slack, message)}


@method("chat.update")
async def update(slack: FakeSlack, body: Body) -> Body:
    channel = slack.channels.get(str(body.get("channel")))  # an id; names are not taken
    if channel is None:
        raise Refused("channel_not_found")
    if channel.is_archived:
        raise Refused("is_archived")
    message = _find(channel, str(body.get("ts")))
    if message.user != slack.bot_user or message.ephemeral_to:
        raise Refused("cant_update_message")
    _check(body)
    message.text, message.blocks = body.get("text", ""), body.get("blocks") or []
    message.metadata = body.get("metadata", message.metadata)
    message.edits += 1
    return {"channel": channel.id, "ts": message.ts, "text": message.text}


@method("chat.postEphemeral")
async def post_ephemeral(slack: FakeSlack, body: Body) -> Body:
    channel = _writable(slack, body)
    if body.get("user") not in slack.users:
        raise Refused("user_not_in_channel")
    _check(body)
    message = _message(slack, channel, body)
    message.ephemeral_to = str(body["user"])
    channel.messages.append(message)
    return {"message_ts": message.ts}


@method("chat.delete")
async def delete(slack: FakeSlack, body: Body) -> Body:
    message = _find(_existing(slack, body), str(body.get("ts")))
    message.is_deleted = True
    return {"ts": message.ts}


@method("conversations.history")
async def history(slack: FakeSlack, body: Body) -> Body:
    channel = _readable(slack, body)
    return {"messages": _page(slack, [m for m in channel.messages if not m.thread_ts or m.is_broadcast], body)}


@method("conversations.replies")
async def replies(slack: FakeSlack, body: Body) -> Body:
    channel, ts = _readable(slack, body), str(body.get("ts"))
    if not any(m.ts == ts for m in channel.messages):
        raise Refused("thread_not_found")
    return {"messages": _page(slack, [m for m in channel.messages if ts in (m.ts, m.thread_ts)], body)}


@method("conversations.list")
async def list_conversations(slack: FakeSlack, body: Body) -> Body:
    found = [c for c in slack.channels.values() if not c.direct_to and not (c.is_private and not c.has_bot)]
    return {"channels": [{"id": c.id, "name": c.name, "is_archived": c.is_archived} for c in found]}


@method("conversations.info")
async def info(slack: FakeSlack, body: Body) -> Body:
    channel = _existing(slack, body)
    return {"channel": {"id": channel.id, "name": channel.name, "is_archived": channel.is_archived}}


@method("conversations.join")
async def join(slack: FakeSlack, body: Body) -> Body:
    channel = _existing(slack, body)
    if channel.is_private:
        raise Refused("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise Refused("is_archived")
    channel.has_bot = True
    return {"channel": {"id": channel.id}}


@method("conversations.open")
async def open_direct(slack: FakeSlack, body: Body) -> Body:
    user = str(body.get("users"))
    if user not in slack.users:
        raise Refused("user_not_found")
    return {"channel": {"id": slack.direct(user).id}}


@method("users.info")
async def user_info(slack: FakeSlack, body: Body) -> Body:
    user = slack.users.get(str(body.get("user")))
    if user is None:
        raise Refused("user_not_found")
    return {"user": {
        "id": user.id, "team_id": user.team, "name": user.name, "deleted": user.is_deleted,
        "profile": {"display_name": user.name.title(), "real_name": user.name.title()},
    }}  # fmt: skip


@method("views.open")
async def open_view(slack: FakeSlack, body: Body) -> Body:
    made_at = slack.triggers.pop(str(body.get("trigger_id")), None)
    if made_at is None:
        raise Refused("exchanged_trigger_id")
    if slack.clock() > made_at + TRIGGER_S:
        raise Refused("expired_trigger_id")
    _check_view(body)
    view = SlackView(slack.new_id("V"), slack.trigger_users.get(str(body["trigger_id"]), ""), body["view"])
    slack.views.append(view)
    return {"view": {"id": view.id, **view.view}}


@method("views.update")
async def update_view(slack: FakeSlack, body: Body) -> Body:
    found = next((v for v in slack.views if v.id == body.get("view_id") and v.is_open), None)
    if found is None:
        raise Refused("not_found")
    _check_view(body)
    found.view = body["view"]
    return {"view": {"id": found.id, **found.view}}


@method("views.publish")
async def publish(slack: FakeSlack, body: Body) -> Body:
    if body.get("user_id") not in slack.users:
        raise Refused("user_not_found")
    _check_view(body)
    slack.homes[str(body["user_id"])] = body["view"]
    return {"view": body["view"]}


@method("files.getUploadURLExternal")
async def upload_url(slack: FakeSlack, body: Body) -> Body:
    id = slack.new_id("F")
    slack.files[id] = SlackFile(str(body.get("filename")))
    return {"file_id": id, "upload_url": f"{slack.origin}/upload/{id}"}


@method("files.completeUploadExternal")
async def complete_upload(slack: FakeSlack, body: Body) -> Body:
    channel = slack.channels.get(str(body.get("channel_id")))
    if channel is None or not (channel.has_bot or channel.direct_to):
        raise Refused("channel_not_found")
    done = []
    for one in body["files"]:
        file = slack.files[one["id"]]
        file.channel, file.thread_ts = channel.id, str(body.get("thread_ts") or "")
        done.append({"id": one["id"], "title": one.get("title", file.name)})
    return {"files": done}


@method("apps.connections.open")
async def open_connection(slack: FakeSlack, body: Body) -> Body:
    return {"url": f"{slack.origin.replace('http', 'ws', 1)}/socket"}


def _existing(slack: FakeSlack, body: Body) -> SlackChannel:
    channel = slack.channels.get(str(body.get("channel")))
    if channel is None:
        raise Refused("channel_not_found")
    return channel


def _readable(slack: FakeSlack, body: Body) -> SlackChannel:
    channel = _existing(slack, body)
    if not channel.has_bot and not channel.direct_to:
        raise Refused("not_in_channel")
    return channel


def _writable(slack: FakeSlack, body: Body) -> SlackChannel:
    name = str(body.get("channel", ""))
    channel = slack.channel(name) or (slack.direct(name) if name in slack.users else None)
    if channel is None:
        raise Refused("channel_not_found")
    if channel.is_archived:
        raise Refused("is_archived")
    if not channel.has_bot and not channel.direct_to:
        raise Refused("channel_not_found" if channel.is_private else "not_in_channel")
    return channel


def _check(body: Body) -> None:
    if not body.get("text") and not body.get("blocks"):
        raise Refused("no_text")
    problems = check_message(body)
    if any("text: more than" in problem for problem in problems):
        raise Refused("msg_too_long")
    if problems:
        raise Refused("invalid_blocks", response_metadata={"messages": problems})


def _check_view(body: Body) -> None:
    if problems := check_view(body.get("view")):
        raise Refused("invalid_arguments", response_metadata={"messages": problems})


def _find(channel: SlackChannel, ts: str) -> SlackMessage:
    found = next((m for m in channel.messages if m.ts == ts and not m.is_deleted), None)
    if found is None:
        raise Refused("message_not_found")
    return found


def _message(slack: FakeSlack, channel: SlackChannel, body: Body) -> SlackMessage:
    return SlackMessage(
        channel.id, slack.new_ts(), body.get("text", ""), body.get("blocks") or [], slack.bot_user,
        str(body.get("thread_ts") or ""), bool(body.get("reply_broadcast")), body.get("metadata"),
    )  # fmt: skip


def _page(slack: FakeSlack, messages: list[SlackMessage], body: Body) -> list[dict[str, Any]]:
    oldest = float(body.get("oldest") or 0)
    visible = [m for m in messages if not m.ephemeral_to and not m.is_deleted and float(m.ts) >= oldest]
    has_metadata = str(body.get("include_all_metadata", "")).lower() in ("true", "1")
    return [_shown(slack, m, has_metadata=has_metadata) for m in visible[::-1][: int(body.get("limit") or 100)]]


def _shown(slack: FakeSlack, message: SlackMessage, *, has_metadata: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "message", "ts": message.ts, "text": message.text, "user": message.user}
    if message.user == slack.bot_user:
        found["bot_id"] = slack.bot_id
    if message.thread_ts:
        found["thread_ts"] = message.thread_ts
    if message.metadata and has_metadata:
        found["metadata"] = message.metadata
    return found
