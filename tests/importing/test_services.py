"""A folder of the original becomes a service file: what is read, how leniently, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InvalidInput
from bot.importing import OldService
from bot.importing.services import Found, Image, image_of, name_of, read_service

pytestmark = pytest.mark.slow

WEB = "ghcr.io/acme/web:0005"
CONFIG = {
    "hostPort": "127.0.0.1:8080", "containerPort": "3000", "domain": "web.example.org", "memoryLimit": "768m",
    "cpuLimit": "1.5", "clientMaxBodySize": "50m", "restartPolicy": "always", "image": WEB,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def found(config: dict[str, Any] | None = None, running: str | None = WEB, name: str = "web", **more: Any) -> Found:
    return read_service(OldService(name=name, config=CONFIG | (config or {}), **more), running)


def test_every_key_of_the_original_is_taken_over() -> None:
    web = found()
    kept = web.configuration
    assert (kept.name, kept.image, kept.port, kept.domains) == ("web", "ghcr.io/acme/web", 3000, ("web.example.org",))
    assert (kept.limits.memory, kept.limits.cpus, kept.site.max_body_size) == ("768m", 1.5, "50m")
    assert (kept.restart, web.tag) == ("always", "0005")
    assert web.warnings == ("host port 127.0.0.1:8080 is not taken over: nginx reaches the container by itself",)


def test_nothing_deploys_by_itself_after_an_import() -> None:
    for running in (WEB, "ghcr.io/acme/web:main", "ghcr.io/acme/web", f"ghcr.io/acme/web@sha256:{'0' * 64}"):
        assert found(running=running).configuration.follow.auto_deploy == "off"


@pytest.mark.parametrize(("running", "policy", "tag"), [
    ("ghcr.io/acme/web:0005", "numeric", ""), ("ghcr.io/acme/web:7", "numeric", ""),
    ("ghcr.io/acme/web:main", "tag", "main"), ("ghcr.io/acme/web:1.2.3", "tag", "1.2.3"),
    ("ghcr.io/acme/web", "tag", "latest"),
])  # fmt: skip
def test_the_policy_fits_the_tag_that_runs(running: str, policy: str, tag: str) -> None:
    follow = found(running=running).configuration.follow
    assert (follow.policy, follow.tag) == (policy, tag)


@pytest.mark.parametrize(("reference", "image"), [
    ("ghcr.io/acme/web:0005", ("ghcr.io/acme/web", "0005")), ("GHCR.io/Acme/Web:V1", ("ghcr.io/acme/web", "V1")),
    ("127.0.0.1:5000/web", ("127.0.0.1:5000/web", "latest")), ("localhost/web:1", ("localhost/web", "1")),
    ("nginx", ("registry-1.docker.io/library/nginx", "latest")), ("acme/web:2", ("registry-1.docker.io/acme/web", "2")),
    ("docker.io/acme/web:2", ("registry-1.docker.io/acme/web", "2")),
    (f"ghcr.io/acme/web@sha256:{'a' * 64}", ("ghcr.io/acme/web", "")),
    (f"ghcr.io/acme/web:3@sha256:{'a' * 64}", ("ghcr.io/acme/web", "3")),
    (f"sha256:{'a' * 64}", None), ("", None), ("a b", None), ("ghcr.io/../web", None),
])  # fmt: skip
def test_an_image_is_read_as_docker_reads_it(reference: str, image: tuple[str, str] | None) -> None:
    assert image_of(reference) == (Image(*image) if image else None)


def test_what_runs_is_taken_and_not_what_the_file_says() -> None:
    web = found({"image": "ghcr.io/acme/web:0004"})
    assert web.tag == "0005"
    assert f"config.json names 'ghcr.io/acme/web:0004'; what its container runs is taken: {WEB}" in web.warnings


def test_without_a_container_the_file_is_believed_and_that_is_said() -> None:
    web = found(running=None)
    assert web.tag == "0005" and "there is no container web" in web.warnings


def test_a_container_of_a_bare_id_says_nothing_about_its_image() -> None:
    web = found(running="sha256:" + "a" * 64)
    assert web.tag == "0005" and "names no image" in " ".join(web.warnings)


@pytest.mark.parametrize(("config", "running"), [
    ({"containerPort": None}, WEB), ({"containerPort": "http"}, WEB), ({"containerPort": "0"}, WEB),
    ({"containerPort": 99999}, WEB), ({"containerPort": ["3000"]}, WEB), ({"containerPort": True}, WEB),
    ({"image": ""}, None), ({"image": 5}, None), ({"hostPort": "99999", "domain": ""}, None),
])  # fmt: skip
def test_what_cannot_be_known_is_refused_and_not_guessed(config: dict[str, Any], running: str | None) -> None:
    with pytest.raises(InvalidInput):
        found(config, running)


def test_a_folder_without_config_or_with_trouble_is_refused() -> None:
    with pytest.raises(InvalidInput, match="port inside the container"):
        read_service(OldService(name="web"), WEB)
    with pytest.raises(InvalidInput, match="no UTF-8"):
        read_service(OldService(name="web", trouble="Its .env is no UTF-8 text."), WEB)


@pytest.mark.parametrize(("written", "memory"), [
    ("512m", "512m"), ("512M", "512m"), ("512MB", "512m"), ("512Mi", "512m"), ("512 MiB", "512m"), (536870912, "512m"),
    ("0.5g", "512m"), ("1.5G", "1536m"), ("2g", "2g"), ("2048M", "2g"), (1e9, "954m"), ("1000000001b", "954m"),
])  # fmt: skip
def test_memory_is_read_however_it_is_written(written: object, memory: str) -> None:
    web = found({"memoryLimit": written})
    assert web.configuration.limits.memory == memory and len(web.warnings) == 1


@pytest.mark.parametrize(("key", "written", "word"), [
    *(("memoryLimit", written, "not understood") for written in ("much", "512", {"a": 1}, "9" * 12 + "g")),
    *(("memoryLimit", written, "no limit") for written in ("", 0, None)), ("cpuLimit", 0, "no limit"),
    *(("cpuLimit", written, "not understood") for written in ("two", "-1", "5000")),
    *(("domain", written, "not understood") for written in ("web.example.org/x y", {"a": 1})),
    ("hostPort", "8080:80", "not understood"), ("clientMaxBodySize", "big", "not understood"),
    ("clientMaxBodySize", "0", "10g"), ("restartPolicy", "sometimes", "not understood"),
    ("restartPolicy", "on-failure:5", "without an end"), ("volumes", ["/data:/data"], "'volumes' is not taken over"),
    ("env", {"A": "secret"}, "'env' is not taken over"),
])  # fmt: skip
def test_what_is_not_understood_is_said(key: str, written: object, word: str) -> None:
    web = found({"domain": "", key: written})
    assert word in " ".join(web.warnings), web.warnings
    assert "secret" not in str(web)


@pytest.mark.parametrize(
    ("written", "cpus"), [("0.5", 0.5), (2, 2), ("1500m", 1.5), (1_500_000_000, 1.5), ("2 cpus", 2)]
)
def test_processors_are_read_however_they_are_written(written: object, cpus: float) -> None:
    assert found({"cpuLimit": written}).configuration.limits.cpus == cpus


@pytest.mark.parametrize(("written", "domains"), [
    ("Web.Example.org", ["web.example.org"]), ("https://web.example.org/", ["web.example.org"]),
    ("a.example.org, b.example.org a.example.org", ["a.example.org", "b.example.org"]),
    (["a.example.org", "b.example.org"], ["a.example.org", "b.example.org"]), ("*.example.org", ["*.example.org"]),
    (None, []), ("", []),
])  # fmt: skip
def test_domains_are_read_however_they_are_written(written: object, domains: list[str]) -> None:
    assert found({"domain": written}).configuration.domains == tuple(domains)


def test_a_restart_policy_may_be_as_dockers_api_writes_it() -> None:
    assert found({"restartPolicy": {"Name": "always", "MaximumRetryCount": 0}}).configuration.restart == "always"


def test_spellings_of_keys_do_not_matter() -> None:
    config = {"container_port": 3000, "HostPort": "80", "Domains": ["a.example.org"], "memory": "1g", "cpus": "2"}
    web = read_service(OldService(name="web", config=config), WEB)
    assert (web.configuration.port, web.configuration.domains) == (3000, ("a.example.org",))
    assert (web.configuration.limits.memory, web.configuration.limits.cpus) == ("1g", 2)
    assert not [warning for warning in web.warnings if "not taken over: nginx" not in warning]


def test_a_host_port_waits_for_as_long_as_the_old_container_may_hold_it() -> None:
    held = found({"domain": ""})
    assert (held.configuration.host_port, held.host_port) == ("", "127.0.0.1:8080")
    free = found({"domain": ""}, running=None)
    assert (free.configuration.host_port, free.host_port) == ("127.0.0.1:8080", "")


@pytest.mark.parametrize(("original", "name"), [
    ("web", "web"), ("Web_App", "web-app"), ("web.app", "web-app"), ("--web--", "web"), ("__", ""),
    ("w" * 70, "w" * 63), ("büro", "b-ro"), ("w" * 62 + "_x", "w" * 62),
])  # fmt: skip
def test_names_outside_our_grammar_are_mapped(original: str, name: str) -> None:
    assert name_of(original) == name


@given(st.dictionaries(st.sampled_from([*CONFIG, "image", "x"]) | st.text(max_size=5), JSON), st.none() | st.text())
def test_whatever_the_file_holds_it_is_read_or_refused_in_words(config: dict[str, Any], running: str | None) -> None:
    try:
        web = read_service(OldService(name="web", config={"containerPort": "80", "image": WEB} | config), running)
    except InvalidInput as refusal:
        assert str(refusal)
    else:
        assert web.configuration.follow.auto_deploy == "off" and web.configuration.health.kind == "tcp"


@given(st.text())
def test_any_text_is_an_image_of_our_grammar_or_none(text: str) -> None:
    image = image_of(text)
    assert image is None or found({"image": ""}, running=text).configuration.image == image.name


@given(st.text(max_size=100))
def test_any_name_becomes_one_of_our_grammar_or_none(text: str) -> None:
    name = name_of(text)
    assert name == "" or found(name=text).configuration.name == name == name_of(name)
