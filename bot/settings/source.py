"""Reads the settings from the environment and a `.env` file; every problem is reported in one go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bot import environment
from bot.errors import InvalidInput, SettingsError
from bot.problems import Problem, explain
from bot.settings.fields import SECRETS, Settings


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Settings from `environ` (default: the process's) over `dotenv` (default: `.env` in the working folder).

    Raises `SettingsError` with every problem: the variable's name, what was found, what is expected.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values = _read_dotenv(Path(".env") if dotenv is None else dotenv, problems)
    values.update({k: v for k, v in environ.items() if v})
    for name in SECRETS:
        _read_secret_file(name, values, problems)
    values.setdefault("O8_DATA_DIR", str(default_data_dir(environ)))
    known: dict[str, Any] = {name: values[name.upper()] for name in Settings.model_fields if name.upper() in values}
    try:
        settings = Settings.model_validate(known)
    except ValidationError as error:
        problems += map(_in_words, explain(error))
    if problems:
        raise SettingsError(problems)
    return settings


def data_dir(environ: Mapping[str, str], dotenv: Path) -> Path:
    """Only O8_DATA_DIR, found as `load` finds it: for programs that talk to an o8 which runs already."""
    named = environ.get("O8_DATA_DIR") or _read_dotenv(dotenv, []).get("O8_DATA_DIR")
    return Path(named) if named else default_data_dir(environ)


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """`~/.dckr` when it exists (the original's), else `/var/lib/orchestr8` when writable, else the user's own."""
    home = Path(environ.get("HOME", "/"))
    if _is_folder(home / ".dckr"):
        return home / ".dckr"
    system = Path("/var/lib/orchestr8")
    if os.access(system if system.exists() else system.parent, os.W_OK):
        return system
    return home / ".local/share/orchestr8"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:  # `sudo -u orchestr8 o8 ...` may keep the home of root
        return False


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    try:
        return {k: v for k, v in environment.parse(path.read_text()).items() if v} if path.is_file() else {}
    except (InvalidInput, UnicodeDecodeError, OSError) as error:
        problems.append(f"{path}: {error}")
        return {}


def _read_secret_file(name: str, values: dict[str, str], problems: list[str]) -> None:
    path = values.get(f"{name}_FILE")
    if not path:
        return
    if name in values:
        problems.append(f"{name} and {name}_FILE are both set; keep one of them")
        return
    try:
        values[name] = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        problems.append(f"{name}_FILE = {path!r}: cannot be read ({why}); expected a file with the value")


def _in_words(problem: Problem) -> str:
    if not problem.path:
        return problem.text
    name = problem.path[0].upper()
    found = "(hidden)" if name in SECRETS else repr(problem.found)
    return f"{name} = {found}: {problem.text}"
