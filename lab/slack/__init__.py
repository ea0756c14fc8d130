"""Slack, stood in for over real TCP: a strict Web API, and a driver that sends what Slack sends.

To add a method: a function in `methods.py`. To add something that people do: a method of `SlackDriver`.
"""

from __future__ import annotations

from lab.slack import methods as methods  # fills the table of methods
from lab.slack.driver import Answer, SlackDriver, sign
from lab.slack.server import FakeSlack, fake_slack
from lab.slack.workspace import SlackMessage, SlackView

__all__ = ["Answer", "FakeSlack", "SlackDriver", "SlackMessage", "SlackView", "fake_slack", "sign"]
