"""The configuration in chat: shown as it is in a service file, changed key by key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from bot.configuration import read
from bot.errors import InvalidInput
from bot.permissions import Action
from handlers.chatops.registry import verb
from handlers.chatops.reply import Reply
from handlers.chatops.talk import Talk
from handlers.chatops.verbs.deploying import begun

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@verb("config SVC", Action.VIEW_CONFIGURATION)
async def config(talk: Talk, *, svc: str) -> Reply:
    """A service's configuration. `/o8 config web cpus=1` changes it.

    Example: `/o8 config web`
    """
    service = await talk.services.store.service(svc)
    rows = [(key, _shown(value)) for key, value in flat(service.configuration.model_dump(mode="json")).items()]
    return Reply(f"The configuration of {svc}.", table=(("key", "value"), *rows))


@verb("config set SVC KEY=VALUE...", Action.EDIT_CONFIGURATION, writes=True)
async def config_set(talk: Talk, *, svc: str, pairs: dict[str, str]) -> Reply:
    """Changes keys of a service's configuration and deploys that; lists are written with commas.

    Example: `/o8 config web limits.memory=512m health.path=/ready domains=a.example.org,b.example.org`
    """
    found = (await talk.services.store.service(svc)).configuration
    before = found.model_dump(mode="json")
    applied = await talk.commands.apply(read(changed(before, pairs)), expected=found)
    now = flat(applied.service.configuration.model_dump(mode="json"))
    old = flat(before)
    rows = [(key, _shown(old.get(key)), _shown(now[key])) for key in now if old.get(key) != now[key]]
    if not rows:
        return Reply(f"The configuration of {svc} was so already.")
    said = await begun(talk, applied.deployment) if applied.deployment else Reply(f"{svc} is configured anew.")
    return Reply(said.text, table=(("key", "before", "now"), *rows))


def changed(values: dict[str, Any], pairs: dict[str, str]) -> dict[str, Any]:
    """`values` with `{"health.path": "/ready"}` put in; raises `InvalidInput` for a key that does not exist."""
    known = flat(values)
    after = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for short, text in pairs.items():
        fitting = [name for name in known if name == short or name.endswith(f".{short}")]
        key = fitting[0] if len(fitting) == 1 else short  # `cpus` is enough for `limits.cpus`
        if key not in known or key == "name":
            raise InvalidInput(f"There is no key {key!r:.80} to change.", _nearest(short, known))
        section, _, leaf = key.rpartition(".")
        place = after[section] if section else after
        place[leaf] = _typed(text, known[key])
    return after


def _nearest(key: str, known: Iterable[str]) -> str:
    leaves = {name.rpartition(".")[2]: name for name in known if name != "name"}
    close = difflib.get_close_matches(key.rpartition(".")[2], leaves, n=2)
    meant = " or ".join(leaves[leaf] for leaf in close)
    return f"Did you mean {meant}?" if meant else "`/o8 config SERVICE` shows all of them."


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"health": {"path": "/"}}` as `{"health.path": "/"}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _typed(text: str, before: Any) -> Any:
    if isinstance(before, bool):
        return _WORDS.get(text.lower(), text)
    if isinstance(before, list | tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
