"""The ChatOps verbs: what people can ask of o8, whatever they ask it with. Knows no Slack, no aiohttp, no terminal.

To add one: a method in the module of its subject, marked with the action it needs; its docstring is its help. Every
write is recorded in the audit with its actor.
"""

from __future__ import annotations

from handlers.commands.importing import ImportCommands
from handlers.commands.installing import InstallCommands
from handlers.commands.logins import LoginCommands
from handlers.commands.pruning import PruneCommands
from handlers.commands.safekeeping import SafekeepingCommands
from handlers.commands.services import DEFAULT_LOCK, LONGEST_LOCK
from handlers.commands.webhooks import WebhookCommands

__all__ = ["DEFAULT_LOCK", "LONGEST_LOCK", "Commands"]


class Commands(InstallCommands, ImportCommands, LoginCommands, PruneCommands, SafekeepingCommands,
               WebhookCommands):  # fmt: skip
    """The verbs for one actor. All raise `Forbidden` without the right, `NotFound` for what the actor may not see."""
