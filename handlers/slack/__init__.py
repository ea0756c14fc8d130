"""Slack as an entrance: signed requests or Socket Mode, both through bolt to the same listeners.

    door (signature) ──> bolt ──> listeners ──> desk ──> answers

Imported only when SLACK_BOT_TOKEN is set: the libraries cost 10 MB.
"""

from __future__ import annotations

from handlers.slack.chat import Chat

__all__ = ["Chat"]
