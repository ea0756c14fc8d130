"""`o8 import`: reads the original's data folder, and asks the running o8 what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from bot.cli.group import Exit, Session, o8, pass_session
from bot.errors import InvalidInput
from bot.importing import OldService, Original
from bot.importing.users import read_users

LARGEST_FILE = 1024 * 1024
LARGEST_DATABASE = 256 * 1024 * 1024
_DATABASES = ("data/users.sqlite", "users.sqlite", "data/users.db", "users.db")
_READ = {".env", "config.json"}


@o8.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--apply", "is_real", is_flag=True, help="Do it; without, the plan is only printed.")
@pass_session
def import_original(session: Session, folder: Path, is_real: bool) -> None:
    """Take over the services and users of the original Orchestr8 from its data folder DIR.

    Prints what would be done. Nothing is deployed, and what is in o8 already stays as it is: it can be repeated.
    """
    original = read_folder(folder)
    body = original.model_dump(mode="json")
    plan = session.api.post("import", body=body, dry_run=not is_real)
    session.output.show(plan, lambda: _tell(session, plan))
    if any(one["outcome"] == "refused" for one in (*plan["services"], *plan["users"])):
        raise click.exceptions.Exit(Exit.FAILED)


def read_folder(folder: Path) -> Original:
    """What is in the original's data folder. Raises `InvalidInput` when there is nothing of it."""
    try:
        services = tuple(_services(folder / "env"))
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}.", "As root it can: use sudo.") from None
    database = next((folder / name for name in _DATABASES if (folder / name).is_file()), None)
    if not services and database is None:
        raise InvalidInput(
            f"{folder} holds neither env/SERVICE/config.json nor data/users.sqlite.", "Name the original's data folder."
        )
    users, notes = _users(database) if database else ((), (f"there is no {_DATABASES[0]}, so no users",))
    return Original(services=services, users=users, notes=notes)


def _services(folder: Path) -> Iterator[OldService]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield _service(path)


def _service(folder: Path) -> OldService:
    name = os.fsencode(folder.name).decode(errors="replace")[:255]
    try:
        others = sorted(os.fsencode(path.name).decode(errors="replace") for path in folder.iterdir())
        notes = tuple(f"the file {other} is not taken over" for other in others if other not in _READ)
        environment = _text(folder / ".env") or ""
        config = _text(folder / "config.json")
        return OldService(name=name, config=_object(config), environment=environment, notes=notes)
    except InvalidInput as trouble:
        return OldService(name=name, trouble=str(trouble))
    except OSError as error:
        return OldService(name=name, trouble=f"It cannot be read: {error.strerror}. As root it can: use sudo.")


def _text(path: Path) -> str | None:
    """None when there is no such file."""
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > LARGEST_FILE:
            raise InvalidInput(f"Its {path.name} is larger than {LARGEST_FILE // 1024} KiB.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"Its {path.name} is not UTF-8 text.", "Save it as UTF-8.") from None


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"Its config.json is not JSON: {error.msg:.80}, line {error.lineno}.") from None
    if not isinstance(found, dict):
        raise InvalidInput("Its config.json is no JSON object.")
    return found


def _users(path: Path) -> tuple[Any, tuple[str, ...]]:
    from bot.store.original import read_tables  # late: the other commands should not wait for SQLite's modules

    if path.stat().st_size > LARGEST_DATABASE:
        raise InvalidInput(f"{path} is larger than {LARGEST_DATABASE // 1024**2} MiB.", "Is it the original's?")
    try:
        return read_users(read_tables(path))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", "As root it can: use sudo.") from None


# -- in words


def _tell(session: Session, plan: dict[str, Any]) -> None:
    def say(text: str) -> None:
        session.output.say(text.replace("\n", " "))  # a name cannot pretend to be a line of its own

    for one in plan["services"]:
        say(_headline("service", one["original"], one["name"], one["outcome"]))
        for line in _of_service(one):
            say(f"    {line}")
    for one in plan["users"]:
        say(_headline("user", one["original"], one["username"], one["outcome"]))
        for line in _of_user(one):
            say(f"    {line}")
    for note in plan["notes"]:
        say(f"note: {note}")
    say(_ending(plan))


def _headline(what: str, original: str, name: str, outcome: str) -> str:
    return f"{what} {original}{f' (here: {name})' if name not in ('', original) else ''}: {outcome}"


def _of_service(one: dict[str, Any]) -> Iterator[str]:
    if found := one["configuration"]:
        where = " ".join(found["domains"]) or (f"port {found['host_port']}" if found["host_port"] else "no domain")
        limits = f"{found['limits']['memory']}, {found['limits']['cpus']:g} cpu"
        yield f"{found['image']}:{one['tag']} on {found['port']}, {where}, {limits}".replace(": on", " on")
    if one["variables"]:
        yield f"environment: {' '.join(one['variables'])}"
    yield from (f"warning: {warning}" for warning in one["warnings"])
    yield from (f"then {number}. {step}" for number, step in enumerate(one["next_steps"], 1))
    if one["error"]:
        yield f"error: {one['error']}"


def _of_user(one: dict[str, Any]) -> Iterator[str]:
    if one["rights"]:
        yield ", ".join(f"{right['action']} in {right['scope']}" for right in one["rights"])
    yield from (f"warning: {warning}" for warning in one["warnings"])
    if one["error"]:
        yield f"error: {one['error']}"


def _ending(plan: dict[str, Any]) -> str:
    outcomes = [one["outcome"] for one in (*plan["services"], *plan["users"])]
    counted = ", ".join(f"{outcomes.count(word)} {word}" for word in dict.fromkeys(outcomes)) or "nothing found"
    if plan["is_applied"]:
        return f"Done: {counted}. Nothing was deployed; docs/migrating.md explains the steps above."
    return f"Plan: {counted}. Nothing was changed; --apply does it."
