"""The original's `users.sqlite`: which table and which column is what, by their names. Rights are never guessed.

To understand one more spelling: a word in the sets below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from bot.importing import OldRight, OldUser

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]  # rows by the name of their table

_USER_TABLES = ("users", "user", "accounts")
_NAMES = ("username", "login", "user", "name", "email")
_HASHES = ("passwordhash", "hash", "hashedpassword", "password", "pass", "pwhash")
_ADMIN = ("isadmin", "admin", "superuser", "issuperuser")
_ROLE = ("role",)
_ON = ("isactive", "active", "enabled", "isenabled")
_OFF = ("isdisabled", "disabled", "isdeleted", "deleted", "deletedat", "disabledat", "isblocked", "blocked", "locked")
_RIGHTS = ("permissions", "permission", "rights", "grants")
_IDS = ("id", "userid", "rowid", "uuid")
_TIMES = ("createdat", "created", "updatedat", "updated", "lastlogin", "lastloginat")
_OWNERS = ("userid", "user", "username", "uid")
_ACTIONS = ("action", "permission", "right", "name")
_SCOPES = ("scope", "service", "servicename", "resource", "target")
# https://github.com/P-H-C/phc-winner-argon2#command-line-utility: memory in KiB, rounds, lanes.
_HASH = re.compile(
    r"\$argon2(?:id|i|d)(?:\$v=(?:16|19))?\$m=([0-9]{1,7}),t=([0-9]{1,2}),p=([0-9]{1,2})"
    r"\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{16,128}"
)
_MOST_MEMORY = 1024 * 1024  # KiB: one login must not take the machine's memory
_OF_USERS = {*_NAMES, *_HASHES, *_ADMIN, *_ROLE, *_ON, *_OFF, *_RIGHTS, *_IDS, *_TIMES}
_OF_RIGHTS = {*_OWNERS, *_ACTIONS, *_SCOPES, *_IDS, *_TIMES}


def read_users(tables: Tables) -> tuple[tuple[OldUser, ...], tuple[str, ...]]:
    """The users that `tables` hold, and what was not understood, in sentences without any value of a row."""
    notes: list[str] = []
    name = _user_table(tables)
    rights_tables = [t for t in tables if t != name and _is_about_rights(tables[t])]
    for other in tables:
        if other != name and other not in rights_tables and tables[other]:
            notes.append(f"users.sqlite: table {other!r:.80} ({len(tables[other])} rows) is not taken over")
    if name is None:
        if any(tables.values()):
            notes.append("users.sqlite: no table has both a name and a password's hash, so there are no users in it")
        return (), tuple(notes)
    notes += _unknown_columns(name, tables[name], _OF_USERS)
    for other in rights_tables:
        notes += _unknown_columns(other, tables[other], _OF_RIGHTS)
        orphans = [right for right in tables[other] if not any(_is_of(right, user) for user in tables[name])]
        if orphans:
            notes.append(f"users.sqlite: {len(orphans)} rows of {other!r:.80} belong to no user and are left out")
    rights = [row for other in rights_tables for row in tables[other]]
    users = tuple(found for row in tables[name] if (found := _user(row, rights)))
    if len(users) < len(tables[name]):
        notes.append(
            f"users.sqlite: {len(tables[name]) - len(users)} rows of {name!r:.80} have no name and are left out"
        )
    return users, tuple(notes)


def can_log_in_with(hash: str) -> bool:
    """Whether `hash` is argon2's, and not so costly that one login would hurt the machine."""
    found = _HASH.fullmatch(hash)
    return found is not None and int(found[1]) <= _MOST_MEMORY and min(map(int, found.groups())) > 0


def _user(row: Row, rights: Sequence[Row]) -> OldUser | None:
    name = _text(_first(row, _NAMES))
    if not name:
        return None
    notes: list[str] = []
    owned = [r for r in rights if _is_of(r, row)]
    written = _first(row, _RIGHTS)
    permissions = [*_from_text(written, notes), *(_from_row(r, notes) for r in owned)]
    is_admin = _is_true(_first(row, _ADMIN)) or _text(_first(row, _ROLE)).lower() == "admin"
    role = _text(_first(row, _ROLE))
    if role and role.lower() not in ("admin", "user"):
        notes.append(f"the role {role!r:.80} gives nothing here")
    is_active = all(_is_true(row[c]) for c in _columns(row, _ON) if row[c] is not None) and not any(
        row[c] not in (None, "", "0", 0, "false", "False") for c in _columns(row, _OFF)
    )
    return OldUser(
        username=name, hash=_text(_first(row, _HASHES)), is_admin=is_admin, is_active=is_active,
        permissions=tuple(p for p in permissions if p), notes=tuple(notes),
    )  # fmt: skip


def _from_text(value: Any, notes: list[str]) -> list[OldRight]:
    """A column with JSON: `[{scope, action}]`, `["scope:action"]` or `{"scope": ["action"]}`."""
    if value in (None, "", b""):
        return []
    try:
        found = orjson.loads(_text(value))
    except orjson.JSONDecodeError:
        notes.append("the column with their permissions is not JSON, and gives nothing")
        return []
    if isinstance(found, dict):
        pairs = [(scope, action) for scope, actions in found.items() for action in _listed(actions)]
    else:
        pairs = [_pair(each) for each in _listed(found)]
    rights = [OldRight(scope=s, action=a) for s, a in pairs if isinstance(s, str) and isinstance(a, str) and a]
    if len(rights) < len(pairs) or (not pairs and found not in ([], {}, None)):
        notes.append("some of their permissions are not understood, and give nothing")
    return rights


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, dict):
        return value.get("scope"), value.get("action")
    scope, _, action = value.rpartition(":") if isinstance(value, str) else ("", "", None)
    return scope, action


def _from_row(row: Row, notes: list[str]) -> OldRight | None:
    action = _text(_first(row, _ACTIONS))
    if not action:
        notes.append("one of their permissions names no action, and gives nothing")
        return None
    return OldRight(scope=_text(_first(row, _SCOPES)), action=action)


def _user_table(tables: Tables) -> str | None:
    fitting = [
        name for name, rows in tables.items() if rows and _columns(rows[0], _NAMES) and _columns(rows[0], _HASHES)
    ]
    return min(fitting, key=lambda name: (name.lower() not in _USER_TABLES, name), default=None)


def _is_about_rights(rows: Sequence[Row]) -> bool:
    return bool(rows and _columns(rows[0], _OWNERS) and _columns(rows[0], _ACTIONS) and _columns(rows[0], _SCOPES))


def _is_of(right: Row, user: Row) -> bool:
    """By number or by name, as the column says; one kind is never compared with the other."""
    column = next(iter(_columns(right, _OWNERS)), "")
    owner = right[column] if column else None
    is_name = _plain(column) == "username" or (_plain(column) == "user" and isinstance(owner, str))
    own = (_first(user, _NAMES),) if is_name else tuple(user[c] for c in _columns(user, _IDS))
    return bool(_text(owner)) and _text(owner) in map(_text, own)


def _unknown_columns(table: str, rows: Sequence[Row], known: Iterable[str]) -> list[str]:
    strange = [c for c in (rows[0] if rows else ()) if _plain(c) not in known and any(row.get(c) for row in rows)]
    return [f"users.sqlite: column {column!r:.80} of {table!r:.80} is not taken over" for column in strange]


def _columns(row: Row, words: Iterable[str]) -> list[str]:
    """Columns of `row` that have one of these names, in the order of `words`."""
    return [column for word in words for column in row if _plain(column) == word]


def _first(row: Row, words: Iterable[str]) -> Any:
    return next((row[column] for column in _columns(row, words)), None)


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_true(value: Any) -> bool:
    return value in (True, 1) or _text(value).lower() in ("1", "true", "yes", "t", "y")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
