"""Service files: each key takes what it is for, and nothing that could leave its place in nginx or Docker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.configuration import Configuration, read, read_toml
from bot.errors import InvalidInput

SMALLEST: dict[str, Any] = {"name": "web", "image": "ghcr.io/acme/web", "port": 8080}

GOOD: dict[str, list[Any]] = {
    "name": ["w", "web", "web-2", "0", "a" * 63],
    "image": ["ghcr.io/acme/web", "127.0.0.1:5000/a/b-c__d.e", "registry.example.org/x"],
    "port": [1, 65535],
    "domains": [[], ["web.example.org", "*.example.org", "localhost"]],
    "host_port": ["", "8080", "127.0.0.1:8080", "255.255.255.255:65535"],
    "replicas": [1, 8],
    "command": [[], ["serve", "--flag=a b; $c"]],
    "restart": ["no", "on-failure", "always", "unless-stopped"],
    "stop_timeout": [1, 3600], "drain_timeout": [3, 3600], "watch": [0, 3600], "keep_releases": [1, 100],
    "limits.memory": ["256m", "2g", "1", "2G"], "limits.cpus": [0.01, 2, 1024], "limits.pids": [16, 65536],
    "limits.log_size": ["10m"], "limits.log_files": [1, 100],
    "health.kind": ["http", "tcp", "image"], "health.path": ["/", "/healthz?full=1&x=%20", "/a/~b"],
    "health.expect": ["200", "200-399", "404-404"], "health.within": [1, 3600],
    "site.max_body_size": ["10m", "1g"], "site.timeout": [1, 86400], "site.buffering": [True, False],
    "site.tls": ["off", "snippet"], "site.redirect_to_https": [False], "site.http2": [False], "site.hsts": [True],
    "site.certificate": ["", "/etc/ssl/web.pem"], "site.key": ["", "/etc/ssl/web.key"],
    "site.trusted_proxies": [[], ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "::1"]],
    "site.client_address_header": ["X-Forwarded-For", "CF-Connecting-IP"],
    "follow.policy": ["numeric", "semver"], "follow.auto_deploy": ["on", "approve", "off"],
}  # fmt: skip
BAD: dict[str, list[Any]] = {
    "name": ["", "-web", "web-", "Web", "we_b", "a" * 64, "a/b", "../web", "web\n", None, 1],
    "image": ["web", "ghcr.io/Acme/web", "ghcr.io/acme/web:1", "ghcr.io//web", "ghcr.io/../web", "https://x/y", "a/b@c",
              "ghcr.io/acme/web\n"],
    "port": [0, 65536, "http", 80.5, None],
    "domains": [["a b"], ["A.example.org"], ["-a.org"], ["a..b"], ["*.*.org"], ["a.*"], ["a.org", "a.org"], "a.org"],
    "host_port": ["0", "65536", "256.0.0.1:80", "localhost:80", ":80", "80:80", "127.0.0.1:",
                  "\u0668\u0660", "\u0661.0.0.1:80"],
    "replicas": [0, 9], "strategy": ["blue-green"], "command": ["serve", [1]], "restart": ["sometimes"],
    "stop_timeout": [0, 3601], "drain_timeout": [2], "watch": [-1], "keep_releases": [0],
    "limits.memory": ["0m", "1t", "-1", "", "512 m", "1.5g"], "limits.cpus": [0, -1, "many", float("nan")],
    "limits.pids": [15], "limits.log_files": [0],
    "health.kind": ["exec"], "health.path": ["", "healthz", "http://x/", "/a b", "/a;b", "//x\n"],
    "health.expect": ["99", "600", "200-", "399-200", "2xx"], "health.within": [0],
    "site.tls": ["on", "certificate"], "site.certificate": ["relative.pem", "/a b", "/"],
    "site.trusted_proxies": [["everyone"], ["10.0.0.0/33"], ["999.1.1.1"], ["10.0.0.1/8"], ["10.0.0.0/8;"]],
    "site.client_address_header": ["X Y", "", "X-A:", "1X"],
    "follow.policy": ["newest", "regex", "tag"], "follow.tag": ["main"], "follow.auto_deploy": ["yes"],
    "unknown": [1], "limits.unknown": [1],
}  # fmt: skip

# Never part of nginx's text; Docker takes a command as a list, and the policy stays inside o8.
_FREE = {"command", "follow.range", "follow.pattern"}
_STRINGS = {
    "name": "web", "image": "ghcr.io/acme/web", "host_port": "8080", "domains.0": "web.example.org",
    "limits.memory": "1m", "limits.log_size": "1m", "health.path": "/health", "health.expect": "200-399",
    "site.max_body_size": "10m", "site.certificate": "/etc/web.pem", "site.key": "/etc/web.key",
    "site.trusted_proxies.0": "10.0.0.0/8", "site.client_address_header": "X-Forwarded-For", "follow.tag": "main",
    "volumes.0.name": "data", "volumes.0.path": "/data",
}  # fmt: skip
HOSTILE = "\n\r\t\0 ;{}\"'\\$#`<>|()\u2028\u0663é"


def with_key(path: str, value: Any) -> dict[str, Any]:
    """The smallest service file with the value at `path`, such as `site.trusted_proxies.0`."""
    values: dict[str, Any] = {**SMALLEST}
    keys = path.split(".")
    if keys[0] == "volumes":
        values["volumes"] = [{"name": "data", "path": "/data", keys[2]: value}]
    elif keys[-1] == "0":
        values.update(with_key(".".join(keys[:-1]), [value]))
    elif len(keys) == 2:
        values[keys[0]] = {keys[1]: value} | ({"policy": "tag"} if keys == ["follow", "tag"] else {})
    else:
        values[path] = value
    return values


def found_at(configuration: Configuration, path: str) -> Any:
    value: Any = configuration.model_dump()
    for key in path.split("."):
        value = value[int(key) if key == "0" else key]
    return value


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(key, value, id=f"{key}={value!r:.30}") for key, values in table.items() for value in values]


@pytest.mark.parametrize(("key", "value"), cases(GOOD))
def test_a_good_value_is_taken(key: str, value: Any) -> None:
    read(with_key(key, value))


@pytest.mark.parametrize(("key", "value"), cases(BAD))
def test_a_bad_value_is_refused_and_its_key_named(key: str, value: Any) -> None:
    values = {**SMALLEST, "follow": {"tag": value}} if key == "follow.tag" else with_key(key, value)
    with pytest.raises(InvalidInput) as refused:
        read(values)
    assert key.split(".")[-1] in refused.value.message
    assert refused.value.next_step


def test_every_key_of_the_model_is_in_the_tables() -> None:
    sections = {"follow", "limits", "health", "site"}
    keys = {key for key in Configuration.model_fields if key not in sections}
    for section in sections:
        keys |= {f"{section}.{key}" for key in Configuration.model_fields[section].annotation.model_fields}  # type: ignore[union-attr]
    assert keys - set(GOOD) - set(BAD) == {"volumes", "follow.range", "follow.pattern", "site.key"} - set(GOOD)


@pytest.mark.parametrize("key", sorted(_STRINGS))
@given(data=st.data())
def test_no_hostile_character_passes(key: str, data: st.DataObject) -> None:
    """A good value with a hostile character anywhere in it."""
    good = _STRINGS[key]
    at = data.draw(st.integers(0, len(good)))
    hostile = data.draw(st.text(HOSTILE, min_size=1, max_size=3))
    with pytest.raises(InvalidInput):
        read(with_key(key, good[:at] + hostile + good[at:]))
    read(with_key(key, good))  # the control


@pytest.mark.parametrize("key", sorted(_STRINGS))
@given(value=st.text(max_size=80))
def test_whatever_passes_holds_plain_characters_only(key: str, value: str) -> None:
    try:
        found = found_at(read(with_key(key, value)), key)
    except InvalidInput:
        return
    assert not set(found) & set(HOSTILE) and found.isascii()


def test_every_text_key_has_been_tried() -> None:
    """A new key of type text must be given a grammar, and come into the table."""

    def texts(schema: dict[str, Any], path: str = "") -> set[str]:
        if "$ref" in schema:
            return texts(definitions[schema["$ref"].rpartition("/")[2]], path)
        if "anyOf" in schema:
            return set().union(*(texts(each, path) for each in schema["anyOf"]))
        if schema.get("type") == "object":
            return set().union(*(texts(s, f"{path}.{key}".strip(".")) for key, s in schema["properties"].items()))
        if schema.get("type") == "array":
            return texts(schema["items"], f"{path}.0")
        is_free = schema.get("type") == "string" and "enum" not in schema and "const" not in schema
        return {path} if is_free else set()

    whole = Configuration.model_json_schema()
    definitions = whole["$defs"]
    assert texts(whole) - {key + end for key in _FREE for end in ("", ".0")} == set(_STRINGS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"strategy": "recreate", "replicas": 2}, "runs one replica"),
        ({"volumes": [{"name": "d", "path": "/d", "exclusive": True}]}, "exclusive volume needs"),
        ({"volumes": [{"name": "d", "path": "/d"}, {"name": "d", "path": "/e"}]}, "volume names must not repeat"),
        ({"volumes": [{"name": "d", "path": "/d/../etc"}]}, r'must not contain "\.\."'),
        ({"follow": {"policy": "regex"}}, 'needs the key "pattern"'),
        ({"follow": {"policy": "regex", "pattern": "("}}, "is not a regular expression"),
        ({"follow": {"policy": "numeric", "range": ">=1"}}, 'belongs to policy "semver"'),
        ({"site": {"tls": "certificate", "key": "/k"}}, 'needs both "certificate" and "key"'),
    ],
)
def test_keys_that_do_not_go_together_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        read(SMALLEST | values)


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"name": "A", "port": 0, "limits": {"memory": "x", "cpu": 1}, "other": 1})
    for part in ("name = 'A'", "image is missing", "port = 0", "limits.memory = 'x'", "limits.cpu is not a known key",
                 "other is not a known key"):  # fmt: skip
        assert part in refused.value.message


def test_a_file_that_is_no_toml_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput, match=r"is not TOML: .*line 2"):
        read_toml('name = "web"\nport = x\n')


def test_the_fingerprint_changes_with_what_runs_and_not_with_the_policy() -> None:
    base = read(SMALLEST)
    assert read(SMALLEST | {"follow": {"auto_deploy": "off"}, "keep_releases": 9}).fingerprint == base.fingerprint
    for change in ({"port": 81}, {"replicas": 2}, {"domains": ["a.org"]}, {"limits": {"memory": "1g"}}, {"watch": 1}):
        assert read(SMALLEST | change).fingerprint != base.fingerprint


def test_a_stored_configuration_is_read_back_the_same() -> None:
    whole = read(SMALLEST | {"domains": ["a.org"], "volumes": [{"name": "d", "path": "/d"}], "site": {"hsts": True}})
    assert Configuration.model_validate_json(whole.model_dump_json()) == whole
