"""Pulls from real registries, whole and broken ones."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import requests

from bot.engines import Credentials
from bot.engines.docker import DockerEngine, pull
from bot.engines.docker.connection import Connection
from bot.errors import (
    AccessDenied,
    DiskFull,
    ImageNotFound,
    O8Error,
    PullFailed,
    RegistryError,
    RegistryUnavailable,
    WrongCredentials,
    WrongPlatform,
)
from lab.broken_registry import BrokenRegistry, Reply, broken_registry
from lab.images import busybox_image, forget
from lab.private_engine import private_engine
from lab.push import DOCKER, push
from lab.registry import PASSWORD, USER, LabRegistry, open_registry, password_registry

ABSENT = "sha256:" + "0" * 64
NOBODY = Credentials("", "", "")
NO_ROOM_NEEDED = pull.Room(share=0, size=0)


def make(host: str, folder: Path, room: pull.Room = pull.ROOM) -> DockerEngine:
    return DockerEngine(
        host=host,
        network="o8-pull-test",
        subnet=IPv4Network("172.31.0.0/20"),
        installation="pull-test",
        volumes_dir=folder,
        room=room,
    )


@pytest.fixture
async def engine(engine_host: str, tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = make(engine_host, tmp_path)
    yield engine
    await engine.close()


@pytest.fixture
def broken() -> Iterator[BrokenRegistry]:
    with broken_registry() as registry:
        registry.script("/v2/", Reply(200, b"{}"))
        yield registry


async def fetch(engine: DockerEngine, image: str, digest: str, credentials: Credentials = NOBODY) -> None:
    await engine.pull(image, digest, credentials, lambda done, known: None, lambda: False)


def script_image(registry: BrokenRegistry, source: LabRegistry, layer: Reply | None = None) -> tuple[str, str]:
    """Lets `registry` serve an image that was made in `source`, with `layer` in place of its layer."""
    repository = "acme/web"
    unique = {"unique": registry.address.encode()}
    digest = push(source, repository, "1", files=unique, types=DOCKER)
    base = f"/v2/{repository}"
    manifest = requests.get(
        f"http://{source.address}{base}/manifests/{digest}", headers={"Accept": DOCKER.of_manifest}, timeout=5
    ).content
    described = json.loads(manifest)
    registry.script(f"{base}/manifests/{digest}", Reply(200, manifest, {"Content-Type": DOCKER.of_manifest}))
    for blob in (described["config"], *described["layers"]):
        body = requests.get(f"http://{source.address}{base}/blobs/{blob['digest']}", timeout=5).content
        assert "sha256:" + hashlib.sha256(body).hexdigest() == blob["digest"]
        registry.script(f"{base}/blobs/{blob['digest']}", Reply(200, body))
    if layer:
        registry.script(f"{base}/blobs/{described['layers'][0]['digest']}", layer)
    return f"{registry.address}/{repository}", digest


@pytest.mark.parts
class TestPull:
    async def test_an_image_is_pulled_by_digest_and_its_bytes_are_told(
        self, engine: DockerEngine, engine_host: str, docker_registry: LabRegistry
    ) -> None:
        image = busybox_image(engine_host, docker_registry.image("acme/big"), ballast=3_000_000)
        forget(engine_host, image)
        assert not await engine.has_image(image.image, image.digest)
        told: list[tuple[int, int]] = []
        await engine.pull(image.image, image.digest, NOBODY, lambda *sums: told.append(sums), lambda: False)
        assert await engine.has_image(image.image, image.digest)
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1] > 3_000_000

    async def test_an_unused_image_is_removed(
        self, engine: DockerEngine, engine_host: str, docker_registry: LabRegistry
    ) -> None:
        image = busybox_image(engine_host, docker_registry.image("acme/unused"))
        await engine.remove_image(image.image, image.digest)
        assert not await engine.has_image(image.image, image.digest)

    async def test_an_absent_digest_is_not_found(self, engine: DockerEngine, docker_registry: LabRegistry) -> None:
        with pytest.raises(ImageNotFound, match=ABSENT):
            await fetch(engine, docker_registry.image("acme/web"), ABSENT)

    async def test_an_image_for_other_machines_is_the_wrong_platform(
        self, engine: DockerEngine, docker_registry: LabRegistry
    ) -> None:
        digest = push(docker_registry, "acme/arm", "1", platforms=("linux/s390x", "linux/riscv64"))
        with pytest.raises(WrongPlatform):
            await fetch(engine, docker_registry.image("acme/arm"), digest)

    async def test_only_the_given_credentials_count(
        self, engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with password_registry() as registry:
            image = busybox_image(engine_host, registry.image("acme/secret"), account=(USER, PASSWORD))
            forget(engine_host, image)
            login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": login}}}))
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
            engine = make(engine_host, tmp_path)
            for credentials in (NOBODY, Credentials(registry.address, USER, "wrong")):
                with pytest.raises(WrongCredentials) as caught:
                    await fetch(engine, image.image, image.digest, credentials)
                assert "wrong" not in str(caught.value)
            await fetch(engine, image.image, image.digest, registry.credentials)
            await engine.close()

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_registry_in_trouble_is_worth_another_try(
        self, engine: DockerEngine, broken: BrokenRegistry, status: int
    ) -> None:
        broken.script(f"/v2/acme/web/manifests/{ABSENT}", Reply(status))
        with pytest.raises(RegistryUnavailable):
            await fetch(engine, f"{broken.address}/acme/web", ABSENT)

    async def test_no_registry_is_worth_another_try(self, engine: DockerEngine) -> None:
        with open_registry() as gone:
            address = gone.address
        with pytest.raises(RegistryUnavailable):
            await fetch(engine, f"{address}/acme/web", ABSENT)

    async def test_a_corrupt_layer_is_no_success(
        self, engine: DockerEngine, engine_host: str, broken: BrokenRegistry, docker_registry: LabRegistry
    ) -> None:
        image, digest = script_image(broken, docker_registry, Reply(200, b"this is no layer"))
        with pytest.raises(PullFailed) as caught:
            await fetch(engine, image, digest)
        assert not caught.value.is_transient
        assert not await engine.has_image(image, digest)
        # The control: the same image with its own layer is fine.
        image, digest = script_image(broken, docker_registry)
        await fetch(engine, image, digest)
        await engine.remove_image(image, digest)

    async def test_a_silent_pull_ends_and_is_worth_another_try(
        self, engine_host: str, broken: BrokenRegistry, docker_registry: LabRegistry
    ) -> None:
        image, digest = script_image(broken, docker_registry, Reply(is_silent=True))
        docker = Connection(engine_host, 30)
        with pytest.raises(PullFailed, match="stalled") as caught:
            await pull.fetch(docker, image, digest, NOBODY, lambda *_: None, lambda: False, quiet_s=0.6)
        assert caught.value.is_transient
        docker.close()

    async def test_a_cancelled_pull_ends_at_once(
        self, engine: DockerEngine, broken: BrokenRegistry, docker_registry: LabRegistry
    ) -> None:
        image, digest = script_image(broken, docker_registry, Reply(is_silent=True))
        asked = 0

        def is_cancelled() -> bool:
            nonlocal asked
            asked += any("blobs" in seen.path for seen in broken.seen)
            return asked > 2

        with pytest.raises(PullFailed, match="cancelled"):
            await engine.pull(image, digest, NOBODY, lambda *_: None, is_cancelled)
        assert not await engine.has_image(image, digest)

    async def test_nothing_is_pulled_when_the_disk_is_short(
        self, engine_host: str, broken: BrokenRegistry, tmp_path: Path
    ) -> None:
        for room in (pull.Room(size=10**18), pull.Room(share=1.0)):
            engine = make(engine_host, tmp_path, room)
            with pytest.raises(DiskFull, match="MB are free"):
                await fetch(engine, f"{broken.address}/acme/web", ABSENT)
            await engine.close()
        assert not broken.seen

    async def test_a_disk_that_fills_up_during_the_pull_is_named(self, tmp_path: Path) -> None:
        with private_engine(disk="80m") as private:
            registry = private.registry()
            wanted = busybox_image(private.host, f"{registry}/acme/web", ballast=30_000_000)
            forget(private.host, wanted)
            busybox_image(private.host, f"{registry}/acme/other", ballast=35_000_000)
            engine = make(private.host, tmp_path, NO_ROOM_NEEDED)
            with pytest.raises(DiskFull, match="no space left"):
                await fetch(engine, wanted.image, wanted.digest)
            assert not await engine.has_image(wanted.image, wanted.digest)
            await engine.close()


# As Docker 20.10 to 28 say it; the first is GHCR's answer to a token without the right.
@pytest.mark.parametrize(
    ("sentence", "error", "is_transient"),
    [
        ("denied", AccessDenied, False),
        ("Head https://ghcr.io/v2/acme/web/manifests/1: denied: denied", AccessDenied, False),
        ("error parsing HTTP 403 response body: no error details", AccessDenied, False),
        (
            "pull access denied for {image}, repository does not exist or may require 'docker login'",
            AccessDenied,
            False,
        ),
        ("unauthorized: authentication required", WrongCredentials, False),
        ("Get https://x/v2/: no basic auth credentials", WrongCredentials, False),
        ("manifest for {image}@{digest} not found: manifest unknown: manifest unknown", ImageNotFound, True),
        ("no matching manifest for linux/amd64 in the manifest list entries", WrongPlatform, False),
        ("toomanyrequests: You have reached your pull rate limit", RegistryUnavailable, True),
        ("Get https://x/v2/: dial tcp: lookup x: no such host", RegistryUnavailable, True),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnavailable, True),
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", DiskFull, False),
        ("filesystem layer verification failed for digest sha256:00", PullFailed, False),
        ("unexpected EOF", PullFailed, True),
    ],
)
def test_dockers_sentences_get_their_meaning(sentence: str, error: type[O8Error], is_transient: bool) -> None:
    image = "ghcr.io/acme/denied-unauthorized"  # words in names mean nothing
    meant = pull.failure(image, ABSENT, sentence.format(image=image, digest=ABSENT))
    assert type(meant) is error
    assert meant.is_transient is is_transient
    assert isinstance(meant, RegistryError | DiskFull | PullFailed)


def test_layers_are_summed() -> None:
    layers = pull.LayerSum()
    lines: list[dict[str, Any]] = [
        {"id": "a", "status": "Pulling fs layer", "progressDetail": {}},
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 10, "total": 100}},
        {"id": "b", "status": "Downloading", "progressDetail": {"current": 1, "total": 50}},
        {"id": "a", "status": "Download complete", "progressDetail": {}},
        {"id": "a", "status": "Extracting", "progressDetail": {"current": 5, "total": 100}},
        {"status": "Status: Downloaded newer image"},
    ]
    assert [layers.add(line) for line in lines] == [False, True, True, True, False, False]
    assert layers.total == (101, 150)
