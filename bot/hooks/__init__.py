"""The webhooks at GitHub that deliver to this o8: made and mended, checked, and swept for what did not arrive.

To add a reason why deliveries do not arrive: a case in `reasons`, and a row in docs/github.md.
"""

from __future__ import annotations

from bot.github import Access, GitHub
from bot.hooks.check import HookCheck
from bot.hooks.places import Places
from bot.hooks.setup import HookSetup
from bot.hooks.sweeper import Sweeper
from bot.settings import Settings
from bot.store import Store

__all__ = ["HookCheck", "HookSetup", "Places", "Sweeper", "Webhooks"]


class Webhooks:
    """All three of one o8."""

    def __init__(self, settings: Settings, store: Store, github: GitHub, access: Access) -> None:
        places = Places(settings, store, github, access)
        self.setup = HookSetup(settings, store, places)
        self.check = HookCheck(settings, store, places)
        self.sweeper = Sweeper(store, places)
