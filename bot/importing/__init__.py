"""The data of the original Orchestr8 (the TypeScript program), and what an import makes of it. Pure.

    services.py   one folder `env/<service>`: its `config.json`, the image that its container runs
    users.py      the tables of `users.sqlite`: names, hashes, rights
    plan.py       both beside what is in o8 already: what an import would do, and what the person does then

Of the original's formats little is certain, so everything is read leniently: several spellings, missing and unknown
keys. What is not understood is named, nothing is dropped silently; what could widen somebody's rights is not guessed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from bot.configuration import Configuration
from bot.models import Model
from bot.permissions import Action


class _Sent(Model):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OldService(_Sent):
    """A folder of `env/`, with `config` as in its `config.json` (null: there is none) and `environment` of its `.env`.

    `trouble`: why it could not be read.
    """

    name: str = Field(max_length=255)
    config: dict[str, Any] | None = None
    environment: str = ""
    notes: tuple[str, ...] = ()
    trouble: str = ""


class OldRight(_Sent):
    """In the original's words, such as `view_config` in `service:web`."""

    scope: str
    action: str


class OldUser(_Sent):
    username: str
    hash: str = ""
    is_admin: bool = False
    is_active: bool = True
    permissions: tuple[OldRight, ...] = ()
    notes: tuple[str, ...] = ()


class Original(_Sent):
    """All of a data folder. `notes`: what its reader did not understand."""

    services: tuple[OldService, ...] = Field((), max_length=5000)
    users: tuple[OldUser, ...] = Field((), max_length=10_000)
    notes: tuple[str, ...] = ()


class Outcome(StrEnum):
    """What becomes of one service or user. In a plan it is `to add`, once it is done `added`."""

    TO_ADD = "to add"
    ADDED = "added"
    AS_IT_IS = "as it is"  # in o8 already: an import changes nothing of it
    LEFT_OUT = "left out"
    REFUSED = "refused"


class PlannedService(Model):
    """`original` is its name there. `variables`: names of its environment, never values."""

    original: str
    name: str
    outcome: Outcome
    tag: str = Field("", description="that its container runs")
    configuration: Configuration | None = None
    variables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = Field((), description="what the person does, in this order, so that o8 serves it")
    error: str = ""


class PlannedRight(Model):
    action: Action
    scope: str


class PlannedUser(Model):
    original: str
    username: str
    outcome: Outcome
    rights: tuple[PlannedRight, ...] = ()
    has_password: bool = Field(False, description="logs in with the password they had there")
    warnings: tuple[str, ...] = ()
    error: str = ""


class Plan(Model):
    """What an import does, or did when `is_applied`. `notes`: what it leaves out altogether."""

    is_applied: bool
    services: tuple[PlannedService, ...] = ()
    users: tuple[PlannedUser, ...] = ()
    notes: tuple[str, ...] = ()
