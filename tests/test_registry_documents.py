"""Challenges, platforms and addresses: the pure parts of the registry client."""

from __future__ import annotations

import json
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import RegistryError, WrongPlatform
from bot.registry.auth import Challenge, parse_challenges
from bot.registry.manifests import Index, Platform, choose, read_config, read_manifest
from bot.registry.transport import base_url
from lab.push import OCI

TOKEN_CHARACTERS = "!#$%&'*+.^_`|~-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
R = "https://r.example"
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
challenges = st.builds(
    Challenge, tokens.map(str.lower), st.dictionaries(tokens.map(str.lower), values, min_size=1, max_size=4)
)


def written(challenge: Challenge) -> str:
    escaped = {name: re.sub(r'(["\\])', r"\\\1", value) for name, value in challenge.parameters.items()}
    return f"{challenge.scheme} " + ", ".join(f'{name}="{value}"' for name, value in escaped.items())


@given(st.lists(challenges, max_size=3))
def test_challenges_are_read_as_written_on_one_line_or_several(wanted: list[Challenge]) -> None:
    assert parse_challenges([", ".join(map(written, wanted))]) == wanted
    assert parse_challenges(list(map(written, wanted))) == wanted


@given(st.text(max_size=200))
def test_any_header_is_read_without_an_error(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (
            'Bearer realm="https://r.example/Token",service="r",scope="repository:Acme/Web:pull,push"',
            [("bearer", {"realm": f"{R}/Token", "service": "r", "scope": "repository:Acme/Web:pull,push"})],
        ),
        ('BEARER Realm = "a\\"b" , error="denied"', [("bearer", {"realm": 'a"b', "error": "denied"})]),
        ("Bearer realm=https://r.example/t,service=r", [("bearer", {"realm": f"{R}/t", "service": "r"})]),
        ('Negotiate YII==, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Bearer realm="one", realm="two"', [("bearer", {"realm": "one"})]),
        ('Bearer service="s", realm="never ends', [("bearer", {"service": "s"})]),
        ("", []),
    ],
)
def test_headers_seen_in_the_wild(header: str, wanted: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == [Challenge(*pair) for pair in wanted]


def index(*platforms: str) -> Index:
    entries = [
        {
            "mediaType": OCI.of_manifest,
            "digest": f"sha256:{number:064d}",
            "size": 1,
            "platform": dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False)),
        }
        for number, platform in enumerate(platforms)
    ]
    return Index.model_validate({"mediaType": OCI.of_index, "manifests": entries})


@pytest.mark.parametrize(
    ("machine", "platforms", "chosen"),
    [
        ("linux/amd64", ("unknown/unknown", "linux/arm64", "linux/amd64"), 2),
        ("linux/amd64", ("linux/amd64/v3", "linux/amd64"), 1),
        ("linux/arm64", ("linux/arm64/v8",), 0),
        ("linux/arm64/v8", ("linux/arm64",), 0),
        ("linux/arm/v7", ("linux/arm/v6", "linux/arm/v7"), 1),
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), 1),
        ("linux/arm/v6", ("linux/arm/v7", "linux/arm/v6"), 1),
        ("linux/riscv64", ("linux/riscv64",), 0),
    ],
)
def test_the_best_manifest_that_runs_here_is_chosen(machine: str, platforms: tuple[str, ...], chosen: int) -> None:
    entry = choose(index(*platforms), Platform.parse(machine), "web:1")
    assert entry.digest == f"sha256:{chosen:064d}"


@pytest.mark.parametrize(
    "platforms", [("linux/amd64/v3",), ("linux/arm64",), ("windows/amd64",), ("unknown/unknown",), ()]
)
def test_what_does_not_run_here_is_not_chosen(platforms: tuple[str, ...]) -> None:
    with pytest.raises(WrongPlatform, match="but this machine is linux/amd64"):
        choose(index(*platforms), Platform.parse("linux/amd64"), "web:1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["mediaType", "config", "layers", "manifests", "digest", "size", "platform", "os", "created"])
objects = st.dictionaries(keys, json_values | st.dictionaries(keys, json_values))
documents = objects.map(json.dumps).map(str.encode)


@pytest.mark.slow
@given(documents | st.binary(max_size=99), st.sampled_from([OCI.of_index, OCI.of_manifest, "text/html"]))
def test_a_hostile_document_is_a_registry_error_and_nothing_else(body: bytes, content_type: str) -> None:
    for read in (lambda: read_manifest(body, content_type, "web:1"), lambda: read_config(body, "web:1")):
        try:
            read()
        except RegistryError as error:
            assert len(error.message) < 300


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("ghcr.io", "https://ghcr.io"),
        ("registry.example:5000", "https://registry.example:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.8.9.10", "http://127.8.9.10"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.evil.example", "https://127.evil.example"),
        ("localhost.evil.example", "https://localhost.evil.example"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
    ],
)
def test_plain_http_is_for_this_machine_only(host: str, url: str) -> None:
    assert str(base_url(host)) == url


# --- what an image says about itself is what a stranger wrote


@pytest.mark.parametrize(("exposed", "ports"), [
    (["9443/tcp", "9000", "53/udp", "80/sctp"], (9000, 9443)), (["0/tcp", "65536/tcp", "-1/tcp", "8_0/tcp"], ()),
    (["9" * 5000, "\u0668\u0660/tcp", "80/tcp/tcp", "80-90/tcp", ""], ()), ([], ()),
])  # fmt: skip
def test_only_what_is_a_tcp_port_is_one(exposed: list[str], ports: tuple[int, ...]) -> None:
    body = orjson.dumps({"config": {"ExposedPorts": {each: {} for each in exposed}}})
    assert read_config(body, "web:1").ports == ports


@pytest.mark.parametrize(("check", "has"), [
    ({"Test": ["CMD", "true"]}, True), ({"Test": ["CMD-SHELL", "true"]}, True), ({"Test": ["NONE"]}, False),
    ({"Test": []}, False), ({"Test": None}, False), ({"Test": "true"}, False), ({}, False), (None, False),
])  # fmt: skip
def test_a_health_check_is_one_that_runs_something(check: object, has: bool) -> None:
    assert read_config(orjson.dumps({"config": {"Healthcheck": check}}), "web:1").has_healthcheck is has


def test_what_is_too_large_to_be_remembered_says_so() -> None:
    small = read_config(orjson.dumps({"config": {"Labels": {"a": "b"}}}), "web:1")
    large = read_config(orjson.dumps({"config": {"Labels": {"a": "b" * 20_000}}}), "web:1")
    assert (small.is_large, large.is_large) == (False, True)
