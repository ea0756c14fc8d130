"""The form that is made of the model of a service file loses nothing on its way there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.configuration import Configuration, read
from handlers.web import forms

pytestmark = pytest.mark.slow

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = st.text(_LETTERS, min_size=1, max_size=8)
_SIZES = st.builds("{}{}".format, st.integers(1, 10**9 - 1), st.sampled_from(["", "k", "m", "g"]))
_PATHS = st.lists(_WORDS, min_size=1, max_size=3).map(lambda words: "/" + "/".join(words))
_VOLUMES = st.lists(
    st.fixed_dictionaries({"name": _WORDS, "path": _PATHS, "exclusive": st.just(False)}),
    max_size=3, unique_by=lambda volume: volume["name"],
)  # fmt: skip
_EXCLUSIVE = _VOLUMES.map(
    lambda found: {
        "volumes": [v | {"exclusive": True} for v in found], "strategy": "recreate", "replicas": 1
    }
)  # fmt: skip
_ARGUMENTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_FOLLOWED: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.just({"policy": "semver", "range": ">=1.0.0 <2.0.0"}),
    st.just({"policy": "regex", "pattern": r" main-[0-9a-f]{7}|\s <\"'&> "}),
    _WORDS.map(lambda tag: {"policy": "tag", "tag": tag}),
)
_FILES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": st.just("web"), "image": st.just("ghcr.io/acme/web"), "port": st.integers(1, 65535)},
    optional={
        "domains": st.lists(_WORDS.map("{}.example".format), max_size=4, unique=True),
        "host_port": st.sampled_from(["", "8080", "127.0.0.1:8080"]),
        "replicas": st.integers(1, 8),
        "command": st.lists(_ARGUMENTS, max_size=4),
        "restart": st.sampled_from(["no", "on-failure", "always", "unless-stopped"]),
        "watch": st.integers(0, 3600),
        "keep_releases": st.integers(1, 100),
        "volumes": _VOLUMES,
        "follow": st.builds(dict.__or__, _FOLLOWED, st.just({"auto_deploy": "approve"})),
        "limits": st.fixed_dictionaries(
            {},
            optional={"memory": _SIZES, "cpus": st.floats(0.01, 1024), "pids": st.integers(16, 65536)},
        ),
        "health": st.sampled_from([{}, {"kind": "tcp"}, {"path": "/up?a=b&c=%20", "expect": "200"}]),
        "site": st.fixed_dictionaries(
            {},
            optional={
                "buffering": st.booleans(), "hsts": st.booleans(), "http2": st.booleans(),
                "redirect_to_https": st.booleans(), "max_body_size": _SIZES,
                "trusted_proxies": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"]), unique=True),
            },
        ),
    },
)  # fmt: skip


def sent(found: Configuration) -> dict[str, str]:
    """What a browser sends of the form as it is: boxes only when they are checked, line ends as CR LF."""
    fields = [field for section in forms.sections(found) for field in section.fields]
    return {
        field.key: "1" if field.kind == "box" else field.value.replace("\n", "\r\n")
        for field in fields
        if field.kind != "box" or field.checked
    }


@given(_FILES, st.one_of(st.just({}), _EXCLUSIVE))
def test_what_is_shown_and_sent_unchanged_is_the_same_configuration(file: dict[str, Any], more: dict[str, Any]) -> None:
    found = read(file | more)
    assert read(forms.values(sent(found), found.name)) == found


@given(_FILES)
def test_what_was_typed_is_shown_again(file: dict[str, Any]) -> None:
    typed = sent(read(file)) | {"limits.memory": "lots & <more>", "port": "-"}
    shown = {field.key: field for section in forms.as_sent(typed) for field in section.fields}
    assert {key: shown[key].value for key in typed if shown[key].kind != "box"} == {
        key: value for key, value in typed.items() if shown[key].kind != "box"
    }
    boxes = {key: field.checked for key, field in shown.items() if field.kind == "box"}
    assert boxes == {key: key in typed for key in boxes}


def test_an_argument_that_is_no_line_is_written_in_quotes() -> None:
    command = ("sh", "-c", "echo a\necho b", "", " ", '"', "plain words", "\u2028")
    found = read({"name": "web", "image": "ghcr.io/acme/web", "port": 80, "command": command})
    written = sent(found)["command"].split("\r\n")
    assert written == ["sh", "-c", r'"echo a\necho b"', '""', '" "', r'"\""', "plain words", r'"\u2028"']
    assert read(forms.values(sent(found), "web")).command == command
