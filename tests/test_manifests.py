"""The app's manifests in examples/slack/ are current, within Slack's limits, and ask for no more than is needed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.notifiers.slack import client
from handlers.slack import listeners
from lab.docs import DOCS
from lab.slack.manifests import EVENTS, FILES, FOLDER, SCOPES, manifest, text

# https://docs.slack.dev/reference/methods: what each method that we call needs
NEEDS = {
    "auth.test": "", "chat.postMessage": "chat:write", "chat.update": "chat:write", "chat.postEphemeral": "chat:write",
    "conversations.history": "channels:history", "conversations.replies": "channels:history",
    "conversations.list": "channels:read", "conversations.join": "channels:join", "conversations.open": "im:write",
    "users.info": "users:read", "views.open": "", "views.update": "",
    "views.publish": "", "files_upload_v2": "files:write",
}  # fmt: skip
EVENT_NEEDS = {
    "app_home_opened": "", "app_mention": "app_mentions:read", "message.im": "im:history", "user_change": "users:read",
}  # fmt: skip
BOTH = pytest.mark.parametrize("by_socket", [False, True])


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_as_the_template_has_them(name: str) -> None:
    assert (FOLDER / name).read_text() == text(by_socket=FILES[name]), (
        "`python -m lab.slack.manifests` writes them anew"
    )
    assert yaml.safe_load((FOLDER / name).read_text()) == manifest(by_socket=FILES[name])


@BOTH
def test_they_keep_slacks_limits(by_socket: bool) -> None:
    """https://docs.slack.dev/reference/app-manifest"""
    found = manifest(by_socket=by_socket)
    shown, features = found["display_information"], found["features"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
    assert re.fullmatch(r"#[0-9a-f]{6}", shown["background_color"])
    assert len(features["bot_user"]["display_name"]) <= 80
    assert len(features["shortcuts"]) <= 10
    for shortcut in features["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150
        assert len(shortcut["callback_id"]) <= 255
    for command in features["slash_commands"]:
        assert len(command["command"]) <= 32
        assert len(command["description"]) <= 2000
        assert len(command["usage_hint"]) <= 1000
        assert command["should_escape"] is True
    assert len(found["oauth_config"]["scopes"]["bot"]) <= 255


def test_both_ask_for_the_same_and_differ_only_in_how_they_are_reached() -> None:
    http, socket = manifest(by_socket=False), manifest(by_socket=True)
    assert http["oauth_config"] == socket["oauth_config"]
    assert _urls(socket) == []
    assert set(_urls(http)) == {"https://o8.example.org/slack/events"}
    assert socket["settings"]["socket_mode_enabled"] is True


def test_every_method_that_is_called_has_its_scope() -> None:
    source = ast.parse(Path(client.__file__).read_text())
    words = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    called = {word for word in words if re.fullmatch(r"(auth|chat|conversations|users|views)\.[a-zA-Z]+", word)}
    assert called | {"files_upload_v2"} == set(NEEDS)
    assert {scope for scope in NEEDS.values() if scope} <= set(SCOPES)


def test_every_event_that_is_listened_to_is_subscribed_and_has_its_scope() -> None:
    assert set(EVENTS) == set(EVENT_NEEDS)
    assert {scope for scope in EVENT_NEEDS.values() if scope} <= set(SCOPES)
    source = Path(listeners.__file__).read_text()
    listened = set(re.findall(r'app\.event\("([a-z_]+)"\)', source))
    assert listened == {event.partition(".")[0] for event in EVENTS}


def test_the_shortcut_is_the_one_that_is_listened_to() -> None:
    assert manifest(by_socket=False)["features"]["shortcuts"][0]["callback_id"] == listeners.SHORTCUT


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_explained(scope: str) -> None:
    assert f"| `{scope}` | {SCOPES[scope]} |" in (DOCS / "slack.md").read_text()


def _urls(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [url for one in value.values() for url in _urls(one)]
    if isinstance(value, list):
        return [url for one in value for url in _urls(one)]
    return [value] if isinstance(value, str) and value.startswith("https://") else []
