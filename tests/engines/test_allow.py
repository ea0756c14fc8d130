"""What may be created: an allow-list, whatever the service file, the image and the environment say."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.configuration import Configuration
from bot.engines import Workload
from bot.engines.docker import allow
from bot.errors import InvalidInput

DIGEST = "sha256:" + "a" * 64
VOLUMES = Path("/var/lib/o8/volumes")
TOP = {"Image", "Env", "Labels", "StopTimeout", "HostConfig", "NetworkingConfig", "Cmd"}
HOST = {"NetworkMode", "RestartPolicy", "Memory", "MemorySwap", "NanoCpus", "PidsLimit"} | {
    "SecurityOpt", "LogConfig", "Mounts",
}  # fmt: skip

names = some.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
words = some.text(some.characters(exclude_characters="\0", codec="utf-8"), max_size=50)
volumes = some.lists(
    some.fixed_dictionaries({"name": names, "path": some.from_regex(r"(/[A-Za-z0-9._-]{1,9}){1,3}", fullmatch=True)}),
    max_size=3,
    unique_by=lambda volume: volume["name"],
).filter(lambda found: all(".." not in volume["path"].split("/") for volume in found))


def create(service: str = "web", image: str = "ghcr.io/acme/web", digest: str = DIGEST, **keys: Any) -> dict[str, Any]:
    environment = keys.pop("environment", {})
    workload = Workload(
        service=service,
        block=1,
        slot="a",
        deployment=1,
        image=image,
        digest=digest,
        configuration=Configuration(name="web", image="ghcr.io/acme/web", port=80, **keys),
        environment=environment,
    )
    address = IPv4Address("172.29.0.16")
    return allow.container(workload, 0, network="o8", address=address, installation="i", volumes_dir=VOLUMES)


@given(
    service=names,
    command=some.lists(words, max_size=3),
    environment=some.dictionaries(some.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), words, max_size=3),
    volumes=volumes,
    restart=some.sampled_from(allow.RESTARTS),
)
def test_nothing_outside_the_allow_list_is_ever_asked_for(service: str, volumes: list[Any], **keys: Any) -> None:
    body = create(service, volumes=volumes, **keys)
    host = body["HostConfig"]
    assert set(body) <= TOP and set(host) == HOST  # so: not privileged, no device, capability, port or namespace
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "o8"
    assert host["RestartPolicy"] == {"Name": "no"}
    for mount in host["Mounts"]:
        assert set(mount) == {"Type", "Source", "Target"} and mount["Type"] == "bind"
        assert Path(mount["Source"]).parent == VOLUMES / service
        assert ".." not in Path(mount["Source"]).parts


@given(value=some.text(max_size=80))
def test_a_reference_is_a_repository_and_a_digest_or_nothing(value: str) -> None:
    for image, digest in ((value, DIGEST), ("ghcr.io/acme/web", value)):
        try:
            made = allow.reference(image, digest)
        except InvalidInput:
            continue
        assert made == f"{image}@{digest}"
        assert not set(made) & set("?#%\\ \n") and ".." not in made.split("/")


@pytest.mark.parametrize("value", ["../images/x", "", "abc", "a" * 65, "A" * 64, "a" * 64 + "\n", "web"])
def test_what_is_no_id_never_reaches_docker(value: str) -> None:
    with pytest.raises(InvalidInput):
        allow.replica_id(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": "../web"},
        {"service": "web\n"},
        {"image": "ghcr.io/acme/web:tag"},
        {"image": "ghcr.io/../web"},
        {"digest": "latest"},
        {"digest": DIGEST + "\n"},
        {"environment": {"A=B": "x"}},
        {"environment": {"": "x"}},
        {"environment": {"A": "x\0y"}},
    ],
)
def test_values_outside_their_grammar_are_refused_without_showing_secrets(wrong: dict[str, Any]) -> None:
    assert create()  # the control: without the wrong value it is fine
    with pytest.raises(InvalidInput) as caught:
        create(**wrong)
    assert "x\0y" not in str(caught.value)


@pytest.mark.parametrize(("text", "size"), [("512m", 512 * 1024**2), ("2g", 2 * 1024**3), ("9k", 9216), ("7", 7)])
def test_memory_is_counted_as_docker_counts(text: str, size: int) -> None:
    host = create(limits={"memory": text})["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (size, size)


@pytest.mark.parametrize("value", ["Always", "unless", "", "on-failure:3"])
def test_unknown_restart_policies_are_refused(value: str) -> None:
    with pytest.raises(InvalidInput):
        allow.restart_policy(value)
