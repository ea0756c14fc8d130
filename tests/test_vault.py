"""Sealed values: only with the key, only in their own row, only unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SettingsError
from bot.vault import Sealed, Vault, key_in

OLD, NEW = "11" * 32, "22" * 32
ROW = "environment/web/3"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened(plain: str) -> None:
    assert Vault(OLD).open(Vault(OLD).seal(plain, ROW), ROW) == plain


def test_the_same_text_is_sealed_differently_each_time_and_never_shows() -> None:
    first, second = (Vault(OLD).seal("hunter2 hunter2", ROW) for _ in range(2))
    assert first != second
    assert b"hunter2" not in first


@pytest.mark.parametrize("row", ["environment/api/3", "environment/web/2", ""])
def test_a_value_that_was_moved_to_another_row_is_not_opened(row: str) -> None:
    sealed = Vault(OLD).seal("hunter2", ROW)
    with pytest.raises(Sealed, match="was changed outside o8"):
        Vault(OLD).open(sealed, row)


def test_every_changed_byte_is_seen() -> None:
    sealed = Vault(OLD).seal("hunter2", ROW)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Sealed):
            Vault(OLD).open(bytes(changed), ROW)
    for length in range(len(sealed)):
        with pytest.raises(Sealed):
            Vault(OLD).open(sealed[:length], ROW)


def test_while_a_key_is_replaced_both_open_and_the_new_one_seals() -> None:
    before = Vault(OLD).seal("hunter2", ROW)
    both = Vault(f"{NEW}, {OLD}")
    assert both.open(before, ROW) == "hunter2"
    after = both.seal("hunter3", ROW)
    assert Vault(NEW).open(after, ROW) == "hunter3"
    with pytest.raises(Sealed, match="is not in O8_SECRET_KEY"):
        Vault(OLD).open(after, ROW)


@pytest.mark.parametrize("keys", ["", "abc", "zz" * 32, "11" * 31, f"{OLD},", f"{OLD},short"])
def test_a_key_that_is_none_is_refused_without_showing_it(keys: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Vault(keys)
    assert "64 hexadecimal digits" in str(refused.value)
    assert not any(part in str(refused.value) for part in keys.split(",") if part)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    assert key_in(tmp_path) == key
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("secret.key", 0o600)]
    Vault(key)


def test_half_a_key_that_a_kill_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret.key.new").write_text("1234")
    Vault(key_in(tmp_path))
