"""The app's manifests for Slack, both from one template: `python -m lab.slack.manifests` writes examples/slack/.

https://docs.slack.dev/reference/app-manifest
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "examples/slack"
HOST = "https://o8.example.org"
SCOPES: dict[str, str] = {
    "commands": "`/o8` and the shortcut",
    "chat:write": "cards, answers, direct messages",
    "chat:write.public": "cards in public channels that nobody has invited o8 to",
    "app_mentions:read": "`@o8 ...` in channels and threads",
    "im:history": "what people write to o8 alone",
    "im:read": "to know a direct message from a channel",
    "im:write": "to tell somebody that a right was granted, or a lock lifted",
    "channels:read": "to find the channel of SLACK_CHANNEL by its name",
    "channels:join": "to join a public channel that cards go to",
    "channels:history": "after a lost answer, to look whether a card was posted already, so that none comes twice",
    "groups:read": "the same in private channels: the name",
    "groups:history": "the same in private channels: the look",
    "users:read": "names for new users; to hear who has left",
    "files:write": "logs that are too long for a message",
}
EVENTS = ("app_home_opened", "app_mention", "message.im", "user_change")


def manifest(*, by_socket: bool) -> dict[str, Any]:
    """What Slack has to know of the app."""
    request = {} if by_socket else {"request_url": f"{HOST}/slack/events"}
    command = {
        "command": "/o8", "description": "Deploy, roll back, look at logs", "usage_hint": "status [service] | help",
        "should_escape": True,
    } | ({} if by_socket else {"url": f"{HOST}/slack/events"})  # fmt: skip
    interactivity = {"is_enabled": True} | request
    if not by_socket:
        interactivity["message_menu_options_url"] = f"{HOST}/slack/events"
    return {
        "display_information": {
            "name": "Orchestr8", "description": "Push to deploy, and run your services from Slack",
            "background_color": "#1b2a41",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "o8", "always_online": True},
            "shortcuts": [{
                "name": "Deploy a service", "type": "global", "callback_id": "o8_deploy",
                "description": "Choose a service and a release",
            }],
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": request | {"bot_events": list(EVENTS)},
            "interactivity": interactivity,
            "org_deploy_enabled": False, "socket_mode_enabled": by_socket, "token_rotation_enabled": False,
        },
    }  # fmt: skip


def text(*, by_socket: bool) -> str:
    """The manifest as YAML, with what to do with it on top."""
    way = "Socket Mode: nothing has to reach o8." if by_socket else "HTTP: put your host name in for o8.example.org."
    body = yaml.safe_dump(manifest(by_socket=by_socket), sort_keys=False, allow_unicode=True, width=120)
    return f"# api.slack.com/apps, Create New App, From a manifest. {way} docs/slack.md has the rest.\n{body}"


FILES = {"manifest-http.yaml": False, "manifest-socket.yaml": True}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, by_socket in FILES.items():
        (FOLDER / name).write_text(text(by_socket=by_socket))
