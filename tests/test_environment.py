"""The environment of a service: what people wrote stays as they wrote it, what is secret does not show."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bot import environment
from bot.errors import InvalidInput

WRITTEN = """\
# Database
DB_HOST=db.internal   # the old one
export DB_USER='app'

DB_PASSWORD="p\\"w # not a comment"
CERT="-----BEGIN
line two
-----END"
EMPTY=
  INDENTED = spaced value
"""
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)


def test_values_are_read_as_a_shell_would() -> None:
    assert environment.parse(WRITTEN) == {
        "DB_HOST": "db.internal", "DB_USER": "app", "DB_PASSWORD": 'p"w # not a comment',
        "CERT": "-----BEGIN\nline two\n-----END", "EMPTY": "", "INDENTED": "spaced value",
    }  # fmt: skip


def test_nothing_is_put_in_for_dollar_names() -> None:
    assert environment.parse("A=${HOME}\nB=$A") == {"A": "${HOME}", "B": "$A"}


def test_the_last_of_a_repeated_name_wins_and_setting_it_leaves_one() -> None:
    text = "A=1\nB=2\nA=3\n"
    assert environment.parse(text)["A"] == "3"
    assert environment.with_value(text, "A", "4") == "A=4\nB=2\n"


def test_every_other_line_stays_as_written() -> None:
    changed = environment.with_value(WRITTEN, "DB_USER", "new")
    assert changed == WRITTEN.replace("export DB_USER='app'\n", "DB_USER=new\n")
    assert environment.with_value(WRITTEN, "ADDED", "x") == WRITTEN + "ADDED=x\n"


def test_a_value_of_several_lines_is_replaced_whole() -> None:
    changed = environment.with_value(WRITTEN, "CERT", "short")
    assert "line two" not in changed and "EMPTY=\n" in changed


def test_a_missing_line_end_is_put_in_before_a_new_name() -> None:
    assert environment.with_value("A=1", "B", "2") == "A=1\nB=2\n"


def test_a_name_is_removed_with_its_lines_and_only_those() -> None:
    assert environment.without(WRITTEN, "EMPTY") == WRITTEN.replace("EMPTY=\n", "")
    with pytest.raises(InvalidInput, match="'MISSING' is not set"):
        environment.without(WRITTEN, "MISSING")


@given(names, values)
@example("A", "\\")
@example("A", "it's")
@example("A", "\\'\"\n")
@example("A", "\r")
@example("A", " # ")
@example("A", "\u2028x\x0b")
def test_any_value_comes_back_as_it_was_given(name: str, value: str) -> None:
    text = environment.with_value(WRITTEN, name, value)
    found = environment.parse(text)
    assert found[name] == value
    assert {**environment.parse(WRITTEN), name: value} == found


@given(st.lists(st.tuples(names, values), max_size=6))
def test_several_values_do_not_disturb_each_other(pairs: list[tuple[str, str]]) -> None:
    text = ""
    for name, value in pairs:
        text = environment.with_value(text, name, value)
    assert environment.parse(text) == dict(pairs)
    assert list(environment.parse(text)) == list(dict(pairs))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_without_showing_it(text: str) -> None:
    try:
        found = environment.parse(text)
    except InvalidInput as refused:
        words = r"^Line \d+ of the environment is not NAME=value|characters that are no text|a zero byte"
        assert re.search(words, refused.message)
        return
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in found)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\nB", "ä", "A" * 256])
def test_names_that_no_environment_can_carry_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a name for an environment variable"):
        environment.with_value("", name, "x")


def test_a_text_with_a_zero_byte_is_refused_before_docker_would() -> None:
    with pytest.raises(InvalidInput, match="zero byte") as refusal:
        environment.parse("TOKEN=secret\0value\n")
    assert "secret" not in str(refusal.value)


def test_a_zero_byte_is_refused_without_showing_the_value() -> None:
    with pytest.raises(InvalidInput) as refused:
        environment.with_value("", "TOKEN", "secret\0value")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["A=\ud800", "A=x\udcff"])
def test_half_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no text"):
        environment.parse(text)
    with pytest.raises(InvalidInput, match="no text"):
        environment.with_value("", "A", text[2:])


def test_an_environment_that_docker_would_not_take_is_refused() -> None:
    with pytest.raises(InvalidInput, match="larger than 256 KiB"):
        environment.with_value("", "A", "x" * environment.MAX_BYTES)


def test_values_are_masked_longest_first_and_line_by_line() -> None:
    text = "token hunter22 and hunter2 and\nline two here"
    masked = environment.mask(text, ["hunter2", "hunter22", "-----BEGIN\nline two\n-----END"])
    assert masked == "token ******** and ******** and\n******** here"


def test_short_values_are_left_or_every_log_would_be_unreadable() -> None:
    assert environment.mask("true story, port 8080", ["true", "8080", ""]) == "true story, port 8080"


@given(st.lists(values, max_size=5), values)
def test_no_masked_value_is_left(secrets: list[str], text: str) -> None:
    assume(all(environment.MASK not in secret and "*" not in secret for secret in secrets))
    masked = environment.mask(text + "".join(secrets), secrets)
    assert not any(secret in masked for secret in secrets if len(secret) >= 5)
