"""What GitHub's bodies say: recorded ones, every variant seen, and anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.errors import InvalidInput
from bot.webhooks import EVENTS, Ignored, PackageEvent, read
from lab import github

COMMIT = "5a1c7be0c3a3f6f0f2b0c9c4d1f0a7c1e5b29d10"
NO_TAG = "no tag: one of the manifests of a multi-platform push"


def read_body(
    body: github.Body | bytes, event: str = "package", content_type: str = github.JSON
) -> PackageEvent | Ignored:
    return read(event, content_type, github.encode(body, content_type), "ghcr.io")


def is_safe(reason: str) -> bool:
    """Whether it may be shown anywhere: short, on one line, without control characters."""
    return len(reason) < 160 and reason.isascii() and reason.isprintable()


# --- recorded bodies ---


def test_a_push_names_image_tag_digest_commit_and_people() -> None:
    assert read_body(github.sample("package_published")) == PackageEvent(
        image="ghcr.io/acme-labs/web", tag="0005",
        digest="sha256:226ce87681fdd7046c3da0570c996584d5c70e16f4461c9c81b7f6c17f0ac5f1",
        commit=COMMIT, repository="acme-labs/web", owner="acme-labs", pusher="raj-k",
        url="https://github.com/orgs/acme-labs/packages/container/web/561200417",
    )  # fmt: skip


def test_the_same_push_reads_the_same_from_both_events() -> None:
    other = read_body(github.sample("registry_package_published_same_push"), "registry_package")
    assert other == read_body(github.sample("package_published"))


def test_of_a_multi_platform_push_only_the_last_event_counts() -> None:
    found = [read_body(github.sample(f"multiplatform_push_{number}_of_4")) for number in range(1, 5)]
    assert found[:3] == [Ignored(NO_TAG)] * 3
    assert isinstance(found[3], PackageEvent) and found[3].tag == "0006"


def test_an_npm_package_is_ignored() -> None:
    assert read_body(github.sample("npm_package")) == Ignored("npm package")


def test_a_ping_is_ignored_as_such() -> None:
    assert read_body(github.sample("ping"), "ping") == Ignored("ping")


# --- variants ---


def changed(path: str, value: Any, body: github.Body | None = None) -> github.Body:
    """A push with one field replaced, or removed when `value` is `...`; `path` is dotted."""
    body = body or github.sample("package_published")
    *folders, last = path.split(".")
    place = body
    for folder in folders:
        place = place[folder]
    place.pop(last, None)
    if value is not ...:
        place[last] = value
    return body


VERSION = "package.package_version"
CONTAINER = f"{VERSION}.container_metadata"


@pytest.mark.parametrize("action", ["published", "updated", "create"])
def test_actions_that_push_are_read(action: str) -> None:
    assert isinstance(read_body(changed("action", action)), PackageEvent)


@pytest.mark.parametrize("action", ["deleted", "", None, 5, ..., "x" * 1000, "\n\x1b[31m"])
def test_other_actions_are_ignored_and_shown_safely(action: Any) -> None:
    found = read_body(changed("action", action))
    assert isinstance(found, Ignored)
    assert found.reason.startswith("nothing to do for action '") and is_safe(found.reason)


@pytest.mark.parametrize("event", ["push", "", "PACKAGE", "\n", "é" * 100, "package\x00"])
def test_other_events_are_ignored_and_shown_safely(event: str) -> None:
    found = read_body(github.sample("package_published"), event)
    assert isinstance(found, Ignored)
    assert found.reason.startswith("nothing to do for event ") and is_safe(found.reason)


@pytest.mark.parametrize(("namespace", "name", "image"), [
    ("acme-labs", "repositoryname/frontend", "ghcr.io/acme-labs/repositoryname/frontend"),
    ("ACME-Labs", "Web", "ghcr.io/acme-labs/web"),
    ("acme", "web.api_v2--x", "ghcr.io/acme/web.api_v2--x"),
])  # fmt: skip
def test_the_image_is_namespace_and_name_in_lower_case(namespace: str, name: str, image: str) -> None:
    found = read_body(changed("package.name", name, changed("package.namespace", namespace)))
    assert isinstance(found, PackageEvent) and (found.image, found.owner) == (image, namespace)


@pytest.mark.parametrize("missing", [
    ["repository"], ["organization"], ["package.owner"], ["package.namespace"], ["sender"],
    ["package.registry"],
    ["repository", "organization", "sender", "package.owner"],
    ["package.namespace", "repository", "organization"], ["package.namespace", "package.owner", "repository"],
    ["package.namespace", "package.owner", "organization"],
])  # fmt: skip
@pytest.mark.parametrize("value", [..., None, [], "", 7])
def test_a_push_is_read_without_what_may_be_missing(missing: list[str], value: Any) -> None:
    body = github.sample("package_published")
    for path in missing:
        changed(path, value, body)
    found = read_body(body)
    assert isinstance(found, PackageEvent)
    assert (found.image, found.tag) == ("ghcr.io/acme-labs/web", "0005")
    assert found.pusher == ("" if "sender" in missing else "raj-k")


@pytest.mark.parametrize(("name", "namespace"), [
    ("", "acme"), ("../images/x", "acme"), ("web:5", "acme"), ("web@sha256:00", "acme"), ("a b", "acme"),
    ("web\n", "acme"),
    ("-web", "acme"), ("web", "acme//x"), ("é", "acme"), ("x" * 300, "acme"), ("web", "ac\x00me"),
    ("web;id", "acme"),
])  # fmt: skip
def test_a_name_that_is_none_is_ignored_and_shown_safely(name: str, namespace: str) -> None:
    found = read_body(changed("package.name", name, changed("package.namespace", namespace)))
    assert isinstance(found, Ignored)
    assert found.reason.startswith("no image can be named ") and is_safe(found.reason)


@pytest.mark.parametrize(("path", "value", "reason"), [
    ("package", None, "no package in it"), ("package", ..., "no package in it"),
    ("package", [1], "no package in it"),
    (VERSION, None, "no package version in it"), (VERSION, ..., "no package version in it"),
    (CONTAINER, None, NO_TAG), (f"{CONTAINER}.tag", None, NO_TAG), (f"{CONTAINER}.tag", ..., NO_TAG),
    (f"{CONTAINER}.tag.name", "", NO_TAG), (f"{CONTAINER}.tag.name", None, NO_TAG),
    (f"{CONTAINER}.tag.name", 5, NO_TAG),
    (f"{CONTAINER}.manifest.config.media_type", "application/vnd.cncf.helm.config.v1+json", "Helm chart"),
    (f"{VERSION}.manifest",
    {"config": {"media_type": "application/vnd.cncf.helm.config.v1+json"}}, "Helm chart"),
    (f"{CONTAINER}.manifest.config.media_type", "application/vnd.oci.empty.v1+json",
    "artifact without an image"),
])  # fmt: skip
def test_what_is_no_tagged_image_is_ignored_with_the_reason(path: str, value: Any, reason: str) -> None:
    assert read_body(changed(path, value)) == Ignored(reason)


def test_a_helm_chart_of_the_lab_is_one() -> None:
    assert read_body(github.helm_chart()) == Ignored("Helm chart")


@pytest.mark.parametrize("tag", [
    f"sha256-{'a' * 64}", f"sha256-{'0' * 64}.sig", f"sha256-{'f' * 64}.att", f"sha256-{'f' * 64}.sbom",
    "sha256-0f.sig",
])  # fmt: skip
def test_signatures_and_attestations_are_ignored(tag: str) -> None:
    assert read_body(github.push(tag=tag)) == Ignored("signature or attestation of an image")


@pytest.mark.parametrize("tag", ["sha256-main", "sha-0a1b2c3", "3.2.1", "0e2a89b", "_x", "A" * 128, "latest"])
def test_every_valid_tag_is_read_as_it_is(tag: str) -> None:
    found = read_body(github.push(tag=tag))
    assert isinstance(found, PackageEvent) and found.tag == tag


@pytest.mark.parametrize(
    "tag", [".x", "-rf", "a b", "a/b", "a:b", "é", "x" * 129, "0005\n", "<!channel>", "$(id)", "\x1b[2J"]
)
def test_an_invalid_tag_is_ignored_and_shown_safely(tag: str) -> None:
    found = read_body(github.push(tag=tag))
    assert isinstance(found, Ignored)
    assert found.reason.endswith(" is not a tag") or len(tag) > 80
    assert is_safe(found.reason)


@pytest.mark.parametrize("package_type", ["CONTAINER", "container", "docker", "Docker", "", None, ...])
@pytest.mark.parametrize("ecosystem", ["CONTAINER", "container", "docker", "DOCKER", "", None, ...])
def test_container_and_docker_in_any_case_count(package_type: Any, ecosystem: Any) -> None:
    body = changed("package.package_type", package_type, changed("package.ecosystem", ecosystem))
    assert isinstance(read_body(body), PackageEvent)


@pytest.mark.parametrize(("package_type", "ecosystem"), [("npm", "docker"), ("docker", "npm"), ("NPM", "CONTAINER")])
def test_npm_and_docker_at_once_is_an_image_only_with_a_tag(package_type: str, ecosystem: str) -> None:
    body = changed("package.package_type", package_type, changed("package.ecosystem", ecosystem))
    assert isinstance(read_body(body), PackageEvent)
    assert read_body(changed(f"{CONTAINER}.tag.name", "", body)) == Ignored("npm package")


@pytest.mark.parametrize(("package_type", "ecosystem", "reason"), [
    ("NUGET", "nuget", "nuget package"), ("maven", "", "maven package"),
    ("rubygems", ..., "rubygems package"),
    ("<b>", "<b>", "package of an unknown kind"), ("x" * 99, None, "package of an unknown kind"),
])  # fmt: skip
def test_packages_of_other_kinds_are_ignored(package_type: Any, ecosystem: Any, reason: str) -> None:
    body = changed("package.package_type", package_type, changed("package.ecosystem", ecosystem))
    assert read_body(body) == Ignored(reason)


def test_a_package_without_any_kind_and_tag_is_ignored() -> None:
    body = changed("package.package_type", ..., changed("package.ecosystem", ...))
    assert read_body(changed(CONTAINER, ..., body)) == Ignored("package of an unknown kind")


@pytest.mark.parametrize(
    "digest", ["sha256:" + "a" * 40, "sha256:" + "A" * 64, "a" * 64, "sha512:" + "a" * 128, "", None, 7]
)
def test_a_digest_of_strange_form_is_left_out_and_the_push_counts(digest: Any) -> None:
    body = github.sample("package_published")
    for path in (
        f"{CONTAINER}.tag.digest",
        f"{CONTAINER}.manifest.digest",
        f"{VERSION}.version",
        f"{VERSION}.name",
    ):
        changed(path, digest, body)
    found = read_body(body)
    assert isinstance(found, PackageEvent) and found.digest == ""


@pytest.mark.parametrize("path", ["tag.digest", "manifest.digest"])
def test_a_digest_is_taken_from_wherever_a_whole_one_is(path: str) -> None:
    whole = github.digest_of("whole")
    body = changed(f"{CONTAINER}.tag.digest", "", changed(f"{CONTAINER}.manifest.digest", "sha256:12"))
    found = read_body(changed(f"{CONTAINER}.{path}", whole, body))
    assert isinstance(found, PackageEvent) and found.digest == whole


@pytest.mark.parametrize(("oid", "commitish", "commit"), [
    (COMMIT, "main", COMMIT), ("", COMMIT, COMMIT), (None, "main", ""), ("5a1c7be", "main", ""),
    (COMMIT.upper(), "", ""),
])  # fmt: skip
def test_a_commit_is_a_whole_one_or_none(oid: Any, commitish: Any, commit: str) -> None:
    body = changed(f"{VERSION}.target_oid", oid, changed(f"{VERSION}.target_commitish", commitish))
    found = read_body(body)
    assert isinstance(found, PackageEvent) and found.commit == commit


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://github.com/x", "https://github.com/<!channel>", "https://x|y", 5]
)
def test_pusher_and_page_are_plain_or_empty(url: Any) -> None:
    body = changed(f"{VERSION}.html_url", url, changed("package.html_url", url, changed("sender.login", "<@U1>")))
    found = read_body(body)
    assert isinstance(found, PackageEvent) and (found.url, found.pusher) == ("", "")


def test_a_bot_may_push() -> None:
    found = read_body(changed("sender.login", "github-actions[bot]"))
    assert isinstance(found, PackageEvent) and found.pusher == "github-actions[bot]"


def test_images_of_another_registry_get_its_host() -> None:
    found = read("package", github.JSON, github.encode(github.push()), "127.0.0.1:5000")
    assert isinstance(found, PackageEvent) and found.image == "127.0.0.1:5000/acme-labs/web"


# --- bodies ---


@pytest.mark.parametrize("content_type", [github.FORM, f"{github.FORM}; charset=utf-8", github.FORM.upper()])
def test_a_form_holds_the_same_as_json(content_type: str) -> None:
    raw = github.encode(github.push(tag="a.b_c-1"), github.FORM)
    assert read("package", content_type, raw, "ghcr.io") == read_body(github.push(tag="a.b_c-1"))


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; charset=utf-8", "nonsense;;;"])
def test_everything_but_a_form_is_read_as_json(content_type: str) -> None:
    assert isinstance(read("package", content_type, github.encode(github.push()), "ghcr.io"), PackageEvent)


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b'"package"', b"5", b"NaN", b"{'a': 1}", b'{"a": "\xff"}', b'{"a": "\\ud800"}',
    b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"[" * 100_000, b'{"a":' * 100_000, b"payload=%7B%7D",
])  # fmt: skip
@pytest.mark.parametrize("event", ["package", "ping", "push"])
def test_what_is_no_json_object_is_invalid(body: bytes, event: str) -> None:
    with pytest.raises(InvalidInput, match="The delivery is"):
        read(event, github.JSON, body, "ghcr.io")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"payload=", b"payload=5", b"payload=%ff", b"\xff", b"a=1", b"payload=1&" * 101]
)
def test_a_form_without_a_json_object_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="The delivery is"):
        read("package", github.FORM, body, "ghcr.io")


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
PATHS = [
    "action", "package", "package.name", "package.namespace", "package.owner", "package.package_type",
    "package.ecosystem",
    VERSION, f"{VERSION}.version", f"{VERSION}.manifest", f"{VERSION}.target_oid", f"{VERSION}.html_url",
    CONTAINER,
    f"{CONTAINER}.tag", f"{CONTAINER}.tag.name", f"{CONTAINER}.tag.digest", f"{CONTAINER}.manifest",
    f"{CONTAINER}.manifest.config", "sender", "sender.login", "organization", "repository",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(EVENTS)), anything)
@example("package", {"package": {"package_version": None}})
def test_any_json_is_read_or_invalid(event: str, value: Any) -> None:
    _read_or_invalid(event, github.JSON, json.dumps(value).encode(errors="surrogatepass"))


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), anything), min_size=1, max_size=4))
def test_any_value_in_any_field_is_read_or_ignored(changes: list[tuple[str, Any]]) -> None:
    body = github.sample("package_published")
    for path, value in sorted(changes, key=lambda change: -change[0].count(".")):  # leaves before what holds them
        changed(path, value, body)
    _read_or_invalid("package", github.JSON, github.encode(body))


@settings(max_examples=400, deadline=None)
@given(st.text(), st.sampled_from([github.JSON, github.FORM]) | st.text(), st.binary())
def test_any_bytes_are_read_or_invalid(event: str, content_type: str, body: bytes) -> None:
    _read_or_invalid(event, content_type, body)


def _read_or_invalid(event: str, content_type: str, body: bytes) -> None:
    try:
        found = read(event, content_type, body, "ghcr.io")
    except InvalidInput:
        return
    if isinstance(found, Ignored):
        assert is_safe(found.reason)
    else:
        assert found.image.startswith("ghcr.io/") and found.image == found.image.lower()
        assert PackageEvent.model_validate(found.model_dump()) == found
