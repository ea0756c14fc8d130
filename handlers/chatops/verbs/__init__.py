"""The commands themselves. To add one: a function marked `@verb` here, in the module of its subject."""

from __future__ import annotations

from handlers.chatops.verbs import (
    configuration,
    deploying,
    environment,
    locks,
    logs,
    machine,
    packages,
    people,
    status,
    versions,
)

__all__ = [
    "configuration",
    "deploying",
    "environment",
    "locks",
    "logs",
    "machine",
    "packages",
    "people",
    "status",
    "versions",
]
