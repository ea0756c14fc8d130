"""No value leaves its place, whatever it holds. The grammars of the service file are passed by on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.configuration import Configuration, Site
from bot.errors import NginxError
from bot.models import Address
from bot.nginx import templates
from bot.nginx.sites import Folders, site_value
from bot.settings import Settings

DOMAINS, NETWORKS, REPLICAS = 20, 12, 4
VALUES = 2 * REPLICAS + DOMAINS + NETWORKS + 8  # strings in one hostile site
FRAGMENTS = (
    ";", "{", "}", " ", "\n", "\r", "\t", "#", '"', "'", "\\", "$", "~", "*", "(", ")", "|", "^", "%", "`",
    "\0", "\x85", "\u2028", "\xa0", "é", "\ud800", "a", "0", "web.test", "/x", "://", "return 200",
    "include /etc/passwd", "server {", "} server {", "listen 1", "$request_uri", "${host}", "{{ name }}",
    "{% raw %}", "o8leaf0end", "o8leaf999end", "default_server", "/*", "//", "--", "\\n", "\\;", "\\ ", "''",
    '""', "_by_lua_block {", "ssl",
)  # fmt: skip
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2), min_size=1, max_size=4).map("".join)
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
HARMLESS = "x1"
EXAMPLES = 210


def value_of(strings: list[str]) -> templates.Value:
    """A site whose every string is one of `strings`; the same shape for any of them."""
    left = iter(strings)
    domains = tuple(next(left) for _ in range(DOMAINS))
    networks = tuple(next(left) for _ in range(NETWORKS))
    site: dict[str, Any] = {
        "max_body_size": next(left), "timeout": next(left), "certificate": next(left), "key": next(left),
        "client_address_header": next(left), "trusted_proxies": networks, "tls": "certificate", "hsts": True,
    }  # fmt: skip
    whole: dict[str, Any] = {
        "name": next(left),
        "host_port": f"{next(left)}:1",
        "domains": domains,
        "site": Site.model_construct(**site),
    }
    slots = next(left)
    there = [Address(next(left), 80) for _ in range(2 * REPLICAS)]
    value = site_value(
        Configuration.model_construct(**whole), {"a": there[:REPLICAS], "b": there[REPLICAS:]},
        Settings(nginx_listen="127.0.0.1"), Folders(Path("/slots"), Path("/acme")), (1, 22, 1),
    )  # fmt: skip
    return value | {"slots_folder": slots}


def shape(tree: Any) -> Any:
    """How many directives with how many words where; their names too, except in `geo`, where they are values."""
    return [
        (name, len(words), [(len(inner[1]), inner[2]) for inner in block] if name == "geo" else shape(block))
        for name, words, block in tree
    ]


EXPECTED = shape(templates.parse(templates.fill("site.conf.j2", value_of([HARMLESS] * VALUES))))


def has_expected_shape(text: str) -> bool:
    try:
        return bool(shape(templates.parse(text)) == EXPECTED)
    except NginxError:
        return False


def test_every_hostile_string_reaches_the_site() -> None:
    """So that the tests below test what they say."""
    strings = [f"x{number}y" for number in range(VALUES)]
    text = templates.render("site.conf.j2", value_of(strings))
    assert [string for string in strings if string not in text] == []
    assert VALUES * EXAMPLES >= 10_000


@pytest.mark.slow
@given(st.lists(hostile, min_size=VALUES, max_size=VALUES))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW_IS_FINE)
def test_ten_thousand_hostile_values_never_change_the_structure(strings: list[str]) -> None:
    try:
        text = templates.render("site.conf.j2", value_of(strings))
    except NginxError:
        return
    assert has_expected_shape(text)


@pytest.mark.slow
@given(st.integers(0, VALUES - 1), hostile)
@settings(max_examples=400, deadline=None, suppress_health_check=SLOW_IS_FINE)
def test_one_hostile_value_among_harmless_ones_never_changes_the_structure(place: int, string: str) -> None:
    strings = [HARMLESS] * VALUES
    strings[place] = string
    try:
        text = templates.render("site.conf.j2", value_of(strings))
    except NginxError:
        return
    assert has_expected_shape(text)
    assert "$" not in string


@pytest.mark.slow
@given(st.integers(0, VALUES - 1), hostile.filter(lambda text: text.isascii() and text.isprintable()))
@settings(max_examples=200, deadline=None, suppress_health_check=SLOW_IS_FINE)
def test_the_comparison_alone_notices_every_change_of_structure(place: int, string: str) -> None:
    """Without the check of the values' letters, which would refuse many of these before."""
    strings = [HARMLESS] * VALUES
    strings[place] = string
    value = value_of(strings)
    text = templates.fill("site.conf.j2", value)
    try:
        is_accepted = templates.parse(text) == templates.expected_tree("site.conf.j2", value)
    except NginxError:
        is_accepted = False
    assert not is_accepted or has_expected_shape(text)


INJECTIONS = ("x; return 200", "x;return", "x {", "x }", "x\n}", "x y", "#x", "x #", '"x', "", "x;}server{listen 1")


@pytest.mark.parametrize("string", INJECTIONS)
def test_the_control_a_plain_fill_lets_each_of_these_through(string: str) -> None:
    """As a domain: filled, it changes the tree; rendered, it is refused."""
    value = value_of([string, *[HARMLESS] * (VALUES - 1)])
    assert not has_expected_shape(templates.fill("site.conf.j2", value))
    with pytest.raises(NginxError):
        templates.render("site.conf.j2", value)


@pytest.mark.parametrize("string", ["$request_uri", "a\\b", "~^.*$", "~x", "é", "a\x7f", "a\tb"])
def test_what_nginx_reads_in_another_way_than_the_parser_is_refused(string: str) -> None:
    with pytest.raises(NginxError, match="cannot be written into an nginx file"):
        templates.render("site.conf.j2", value_of([string, *[HARMLESS] * (VALUES - 1)]))


def test_a_value_that_the_template_does_not_know_is_no_empty_string() -> None:
    with pytest.raises(NginxError, match="undefined"):
        templates.render("site.conf.j2", {"name": "web"})


def test_a_text_that_ends_inside_a_directive_is_refused() -> None:
    for text in ("server {", "listen 80", 'return 200 "', "}"):
        with pytest.raises(NginxError, match="cannot be parsed"):
            templates.parse(text)
