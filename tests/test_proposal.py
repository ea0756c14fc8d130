"""What a service of an image would be: by the image, by its labels, and never more than a service file may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.configuration import Configuration
from bot.errors import InvalidInput
from bot.packages.proposal import LABELS, House, Offer, Subject, chosen, names_for, offer, policy_for

DOCS = Path(__file__).parent.parent / "docs" / "github.md"
BLOG = Subject("ghcr.io/acme/blog", "0001", "sha256:" + "1" * 64)
HERE = House(frozenset({"web"}), {"www.example.org": "web", "o8.example.org": "o8 itself"}, "example.org")


class Says(NamedTuple):
    """What an image says about itself."""

    labels: Mapping[str, str] = {}
    ports: tuple[int, ...] = (9000,)
    has_healthcheck: bool = False


def made(labels: Mapping[str, str] | None = None, subject: Subject = BLOG, house: House = HERE, **more: Any) -> Offer:
    return offer(subject, Says(labels or {}, **more), house)


def test_name_port_health_and_domain_come_from_the_image() -> None:
    found = made(ports=(9000, 9443), has_healthcheck=True)
    assert found.configuration.model_dump(exclude_defaults=True) == {
        "name": "blog", "image": BLOG.image, "port": 9000, "health": {"kind": "image"},
    }  # fmt: skip
    assert (found.hosts, found.doubts) == (("blog.example.org",), ())
    assert found.notes == (
        "Port 9000 by EXPOSE, the lowest of 9000, 9443.", "It is healthy when the image's HEALTHCHECK says so.",
    )  # fmt: skip


def test_labels_count_more_than_the_dockerfile() -> None:
    found = made(
        {"o8.port": "9443", "o8.health": "/up", "o8.domain": "blog.example.org, b.example.org", "o8.replicas": "3",
         "o8.memory": "1G", "o8.cpus": "0.5", "o8.follow": "semver", "o8.strategy": "switch"},
        has_healthcheck=True,
    )  # fmt: skip
    kept = found.configuration
    assert (kept.port, kept.health.kind, kept.health.path, kept.replicas) == (9443, "http", "/up", 3)
    assert kept.domains == found.hosts == ("blog.example.org", "b.example.org")
    assert (kept.limits.memory, kept.limits.cpus, kept.follow.policy) == ("1g", 0.5, "semver")
    assert found.doubts == () and len(found.notes) == len(LABELS)
    assert not [note for note in found.notes if "EXPOSE" in note or "HEALTHCHECK" in note]


def test_without_a_port_it_is_a_guess_that_nobody_may_make_alone() -> None:
    found = made(ports=())
    assert found.configuration.port == 8080
    assert found.doubts == ("the image names no port (EXPOSE, or the label o8.port)",)
    assert "Port 8080 is a guess" in found.notes[0]
    assert made({"o8.port": "80"}, ports=()).doubts == ()
    refused = made({"o8.port": "http"}, ports=())
    assert refused.configuration.port == 8080 and len(refused.doubts) == 2


def test_of_an_image_that_nobody_has_looked_at_all_is_a_guess() -> None:
    found = offer(BLOG, None, HERE)
    assert found.configuration.name == "blog" and found.doubts == ("nothing is known of ghcr.io/acme/blog",)


# -- the name


@pytest.mark.parametrize(("image", "names"), [
    ("ghcr.io/acme/web", ["web", "acme-web", "web-2", "web-3"]),
    ("ghcr.io/acme/shop/front_end", ["front-end", "shop-front-end", "acme-shop-front-end", "front-end-2"]),
    ("ghcr.io/acme/web.v2", ["web-v2", "acme-web-v2", "web-v2-2"]),
    ("127.0.0.1:5000/web", ["web", "web-2"]),
])  # fmt: skip
def test_a_name_is_taken_from_the_end_of_the_image(image: str, names: list[str]) -> None:
    assert list(dict.fromkeys(names_for(image)))[: len(names)] == names


@given(st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,5}(/[a-z0-9]+(-[a-z0-9]+)*){0,3}", fullmatch=True))
@settings(max_examples=50, deadline=None)
def test_every_name_is_one_that_a_service_may_have(path: str) -> None:
    for name in names_for(f"ghcr.io/{path}"[:255].rstrip("._-/")):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name), name


def test_a_name_that_is_taken_gives_way_and_nobody_decides_that_alone() -> None:
    found = made(subject=Subject("ghcr.io/beta/web", "0001"))
    assert found.configuration.name == "beta-web"
    assert found.doubts == ("there is a service web already",)
    assert "It is called beta-web, as there is a service web already." in found.notes


@pytest.mark.parametrize("image", ["ghcr.io/beta/www", "ghcr.io/beta/o8"])
def test_a_name_whose_domain_is_somebody_elses_is_taken(image: str) -> None:
    found = made(subject=Subject(image, "0001"))
    assert found.configuration.name == f"beta-{image.rpartition('/')[2]}"
    assert found.doubts and "belongs to" in found.doubts[0]


# -- labels are what a stranger wrote


@pytest.mark.parametrize(("label", "text", "why"), [
    ("o8.port", "0", "1 or more"), ("o8.port", "65536", "65535 or less"), ("o8.port", "80 ", "a whole number"),
    ("o8.port", "8_0", "a whole number"), ("o8.port", "٨٠", "a whole number"), ("o8.health", "http://x/", "a path"),
    ("o8.health", "/a b", "a path"), ("o8.domain", "*.example.org", "all names"),
    ("o8.domain", "A.example.org", "a host name"), ("o8.domain", "x;y", "a host name"),
    ("o8.domain", "", "a host name"),
    ("o8.domain", "www.example.org", "belongs to web"), ("o8.domain", "o8.example.org", "belongs to o8 itself"),
    ("o8.domain", ",".join(f"a{n}.example.org" for n in range(33)), "at most 32"),
    ("o8.replicas", "9", "8 or less"), ("o8.memory", "lots", "a size"), ("o8.cpus", "inf", "a number"),
    ("o8.cpus", "1e3", "a number"), ("o8.strategy", "none", "recreate"), ("o8.follow", "regex", "numeric, semver"),
])  # fmt: skip
def test_a_label_that_is_wrong_is_refused_by_name_and_nothing_else_changes(label: str, text: str, why: str) -> None:
    found = made({label: text})
    assert found.configuration == made().configuration
    assert len(found.doubts) == 1 and f"label {label} = " in found.doubts[0] and why in found.doubts[0]
    assert any(note.startswith(f"Label {label} = ") for note in found.notes)


def test_labels_that_contradict_each_other_are_not_obeyed_together() -> None:
    found = made({"o8.replicas": "2", "o8.strategy": "recreate"})
    assert (found.configuration.replicas, found.configuration.strategy) == (2, "switch")
    assert "runs one replica" in found.doubts[0]


@pytest.mark.parametrize(
    "label", ["o8.volumes", "o8.host_port", "o8.env.SECRET", "o8.privileged", "o8.command", "o8.tls", "o8."]
)
def test_what_no_label_may_decide_is_reported_and_not_obeyed(label: str) -> None:
    found = made({label: "/:/host", "org.opencontainers.image.source": "https://github.com/acme/blog"})
    assert found.configuration == made().configuration
    assert f"Label '{label}' is none that o8 knows; it is not obeyed." in found.notes
    assert found.doubts == ()


def test_a_domain_elsewhere_is_for_a_person_to_allow() -> None:
    found = made({"o8.domain": "www.bank.example"})
    assert found.configuration.domains == ("www.bank.example",)
    assert found.doubts == ("www.bank.example, wanted by its label o8.domain, is not below BASE_DOMAIN",)
    assert made({"o8.domain": "a.example.org"}, house=House()).doubts, "without BASE_DOMAIN none is below it"


def test_thousands_of_labels_are_told_in_a_few_lines() -> None:
    assert len(made({f"o8.x{n}": "1" for n in range(5000)}).notes) == 7


HOSTILE = st.text(max_size=80) | st.sampled_from(
    ["80", "/", "1", "0.5", "a.example.org", "512m", "recreate", "semver", "tag", "; }", "${HOME}", "\n\n", "\x00"]
)
UNDECIDED = {"volumes", "host_port", "command", "site", "restart", "image", "name", "keep_releases", "watch"}


@given(st.dictionaries(st.sampled_from(sorted(LABELS)) | st.text(max_size=20).map("o8.".__add__), HOSTILE, max_size=12))
@settings(max_examples=300, deadline=None)
def test_no_labels_make_anything_but_a_valid_and_harmless_service(labels: dict[str, str]) -> None:
    found = made(labels)
    assert Configuration.model_validate(found.configuration.model_dump()) == found.configuration
    plain = made().configuration.model_dump(include=UNDECIDED)
    assert found.configuration.model_dump(include=UNDECIDED) == plain
    assert found.configuration.follow.auto_deploy == "on"
    assert not set(found.hosts) & set(HERE.hosts)
    assert all(line.isprintable() and len(line) < 700 for line in (*found.notes, *found.doubts))


# -- what a person wants otherwise


def test_changes_count_more_than_labels_and_their_remarks_go() -> None:
    says = Says({"o8.port": "http", "o8.health": "/up", "o8.memory": "1g"}, (), has_healthcheck=True)
    found = offer(BLOG, says, HERE, {"name": "news", "port": 7000, "limits": {"cpus": 2}, "health": {"path": "/ok"}})
    kept = found.configuration
    assert (kept.name, kept.port, kept.limits.memory, kept.limits.cpus) == ("news", 7000, "1g", 2)
    assert (kept.health.kind, kept.health.path, found.hosts) == ("http", "/ok", ("news.example.org",))
    assert not [doubt for doubt in found.doubts if "names no port" in doubt]


def test_a_path_makes_the_health_check_one_over_http_though_the_image_has_its_own() -> None:
    found = offer(BLOG, Says(has_healthcheck=True), HERE, {"health": {"path": "/ok"}})
    assert found.configuration.health.kind == "http"
    kept = offer(BLOG, Says(has_healthcheck=True), HERE, {"health": {"within": 90}}).configuration.health
    assert (kept.kind, kept.within) == ("image", 90)


def test_another_policy_takes_nothing_of_the_one_that_was_proposed() -> None:
    subject = BLOG._replace(tag="main")
    assert offer(subject, Says(), HERE).configuration.follow.tag == "main"
    wanted = {"follow": {"policy": "numeric"}}
    assert offer(subject, Says(), HERE, wanted).configuration.follow.policy == "numeric"


def test_changes_that_are_wrong_are_refused() -> None:
    with pytest.raises(InvalidInput, match="port"):
        offer(BLOG, Says(), HERE, {"port": "many"})
    with pytest.raises(InvalidInput, match="not a known key"):
        offer(BLOG, Says(), HERE, {"colour": "red"})


# -- which tag, and what is followed


@pytest.mark.parametrize(("tags", "pushed", "wanted"), [
    (["0001", "0010", "main"], "", "0010"), (["1.2.0", "1.10.0", "latest"], "", "1.10.0"),
    (["main", "edge"], "edge", "edge"), (["main"], "", "main"), (["main", "edge"], "", ""), ([], "0001", "0001"),
    ([], "", ""), (["0001", "latest"], "latest", "0001"), (["1.0.0-rc.1"], "", "1.0.0-rc.1"),
])  # fmt: skip
def test_the_highest_number_else_version_else_what_was_pushed(tags: list[str], pushed: str, wanted: str) -> None:
    assert chosen(tags, pushed) == wanted


@pytest.mark.parametrize(("tag", "policy"), [
    ("0001", {}), ("", {}), ("1.2.3", {"policy": "semver"}), ("v2.0.0-rc.1", {"policy": "semver"}),
    ("main", {"policy": "tag", "tag": "main"}), ("1.2", {"policy": "tag", "tag": "1.2"}),
    ("0e2a89b", {"policy": "regex", "pattern": "[0-9a-f]{7,40}"}),
    ("sha-860c190", {"policy": "regex", "pattern": "sha-[0-9a-f]{7,40}"}),
])  # fmt: skip
def test_what_is_pushed_next_is_followed(tag: str, policy: dict[str, str]) -> None:
    assert policy_for(tag) == policy
    assert made(subject=BLOG._replace(tag=tag)).configuration.follow.model_dump(exclude_defaults=True) == {
        key: value for key, value in policy.items() if value != "numeric"
    }


def test_the_docs_name_every_label() -> None:
    rows = re.findall(r"^\| `(o8\.[a-z]+)` \|", DOCS.read_text(), re.MULTILINE)
    assert rows == list(LABELS)
