"""The tables of the original's users: what is read by the names of columns, and that no right is guessed."""

from __future__ import annotations

from typing import Any

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidInput
from bot.importing import OldRight, OldUser
from bot.importing.users import can_log_in_with, read_users

pytestmark = pytest.mark.slow

HASH = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b+dWRWJTmaaJObG"
ADA = {"id": 1, "username": "ada", "password_hash": HASH, "is_admin": 0}
DEPLOYS = {"user_id": 1, "scope": "service:web", "action": "manage"}
CELL = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
COLUMN = st.sampled_from(["id", "username", "password", "is_admin", "permissions", "user_id", "scope", "action", "x"])


def one(*rows: dict[str, Any], **tables: list[dict[str, Any]]) -> OldUser:
    ((user, *_), _) = read_users({"users": list(rows), **tables})
    return user


def test_a_user_is_read_with_hash_and_rights() -> None:
    assert one(ADA, permissions=[DEPLOYS]) == OldUser(
        username="ada", hash=HASH, permissions=(OldRight(scope="service:web", action="manage"),)
    )


@pytest.mark.parametrize(("name", "hash"), [
    ("username", "password_hash"), ("userName", "passwordHash"), ("login", "hash"), ("name", "password"),
    ("user", "hashed_password"), ("USERNAME", "pw_hash"),
])  # fmt: skip
def test_columns_are_found_by_the_names_they_may_have(name: str, hash: str) -> None:
    users, notes = read_users({"people": [{"id": 1, name: "ada", hash: HASH}]})
    assert [(user.username, user.hash) for user in users] == [("ada", HASH)] and notes == ()


@pytest.mark.parametrize("row", [
    {"is_admin": 1}, {"isAdmin": True}, {"admin": "true"}, {"role": "admin"}, {"is_superuser": "1"},
])  # fmt: skip
def test_an_admin_is_one_however_it_is_written(row: dict[str, Any]) -> None:
    assert one({"username": "ada", "hash": HASH} | row).is_admin


@pytest.mark.parametrize(
    "row", [{"is_admin": 0}, {"is_admin": "no"}, {"is_admin": None}, {"role": "root"}, {"admin": 2}]
)
def test_nobody_becomes_admin_by_a_word_that_may_mean_something_else(row: dict[str, Any]) -> None:
    assert not one({"username": "ada", "hash": HASH} | row).is_admin


@pytest.mark.parametrize("row", [
    {"is_active": 0}, {"enabled": "false"}, {"disabled": 1}, {"deleted_at": "2024-01-01"}, {"blocked": "yes"},
])  # fmt: skip
def test_who_was_shut_out_is_known_as_that(row: dict[str, Any]) -> None:
    assert not one(ADA | row).is_active


@pytest.mark.parametrize("row", [{"is_active": 1}, {"is_active": None}, {"disabled": 0}, {"deleted_at": None}, {}])
def test_who_was_not_is_not(row: dict[str, Any]) -> None:
    assert one(ADA | row).is_active


@pytest.mark.parametrize("written", [
    '[{"scope": "service:web", "action": "view_logs"}]', '["service:web:view_logs"]', '{"service:web": ["view_logs"]}',
    b'[{"scope": "service:web", "action": "view_logs"}]', '{"service:web": "view_logs"}',
])  # fmt: skip
def test_rights_may_be_json_in_a_column(written: object) -> None:
    assert one(ADA | {"permissions": written}).permissions == (OldRight(scope="service:web", action="view_logs"),)


@pytest.mark.parametrize("written", ["all", "[1, 2]", '{"a": {"b": 1}}', "[[", '[{"scope": "global"}]', '"x"', "5"])
def test_rights_that_are_not_understood_give_nothing_and_are_said(written: str) -> None:
    user = one(ADA | {"permissions": written})
    assert user.permissions in ((), (OldRight(scope="", action="x"),))
    assert user.notes or user.permissions


def test_rights_may_name_their_owner() -> None:
    row = {"username": "ada", "scope": "global", "action": "view_logs"}
    assert one(ADA, grants=[row]).permissions == (OldRight(scope="global", action="view_logs"),)


def test_numbers_and_names_of_users_are_not_mixed_up() -> None:
    """A user who is called like somebody's number gets none of their rights."""
    five = {"id": 9, "username": "5", "password_hash": HASH}
    ada = ADA | {"id": 5}
    users, _ = read_users({"users": [five, ada], "permissions": [DEPLOYS | {"user_id": 5}]})
    assert [(user.username, len(user.permissions)) for user in users] == [("5", 0), ("ada", 1)]


def test_what_is_not_understood_is_named_without_its_values() -> None:
    users, notes = read_users({
        "users": [ADA | {"totp_secret": "canary"}, {"id": 2, "username": "", "password_hash": HASH}],
        "sessions": [{"token": "canary"}], "empty": [], "permissions": [DEPLOYS, DEPLOYS | {"user_id": 77}],
    })  # fmt: skip
    assert [user.username for user in users] == ["ada"]
    assert notes == (
        "users.sqlite: table 'sessions' (1 rows) is not taken over",
        "users.sqlite: column 'totp_secret' of 'users' is not taken over",
        "users.sqlite: 1 rows of 'permissions' belong to no user and are left out",
        "users.sqlite: 1 rows of 'users' have no name and are left out",
    )


def test_without_a_table_of_users_that_is_said() -> None:
    assert read_users({}) == ((), ())
    users, notes = read_users({"settings": [{"key": "a", "value": "b"}]})
    assert users == () and "no table has both a name and a password's hash" in notes[-1]


@pytest.mark.parametrize("hasher", [
    argon2.PasswordHasher(), argon2.PasswordHasher(time_cost=2, memory_cost=65536, parallelism=1),
    argon2.PasswordHasher(time_cost=3, memory_cost=64, parallelism=2, type=argon2.Type.I),
    argon2.PasswordHasher(time_cost=1, memory_cost=64, type=argon2.Type.D, salt_len=8, hash_len=16),
])  # fmt: skip
def test_every_hash_that_argon2_makes_can_be_used(hasher: argon2.PasswordHasher) -> None:
    assert can_log_in_with(hasher.hash("a password"))


@pytest.mark.parametrize("hash", [
    "", "secret", "$2b$10$" + "a" * 53, HASH[:-40], HASH.replace("65536", "9999999"), HASH.replace("p=1", "p=0"),
    HASH.replace("t=2", "t=999"), HASH + "\n", f" {HASH}", HASH.replace("argon2id", "argon2x"),
])  # fmt: skip
def test_a_hash_that_is_none_or_would_take_the_machines_memory_is_not(hash: str) -> None:
    assert not can_log_in_with(hash)


@given(st.dictionaries(st.sampled_from(["users", "permissions", "x"]),
                       st.lists(st.dictionaries(COLUMN, CELL, max_size=6), max_size=4), max_size=3))  # fmt: skip
def test_whatever_the_tables_hold_it_is_read_or_refused_in_words(tables: dict[str, list[dict[str, Any]]]) -> None:
    try:
        users, _ = read_users(tables)
    except InvalidInput as refusal:
        assert str(refusal)
    else:
        assert all(user.username for user in users)
