"""The application of the laboratory: honest answers, a graceful end, and each fault as it is named."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.app.faults import read_fault
from lab.app.frames import Frame, encode_frame, read_frame
from lab.app.image import app_image
from lab.registry import LabRegistry
from tests.lab.programs import App, app

pytestmark = pytest.mark.slow


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


@pytest.fixture
async def running() -> AsyncIterator[App]:
    async with app("7") as running:
        await running.listens()
        yield running


async def test_it_says_which_version_answers(running: App, session: aiohttp.ClientSession) -> None:
    async with session.get(running.url) as answer:
        assert (await answer.json())["version"] == "7"
    async with session.get(running.url + "/nothing") as answer:
        assert answer.status == 404
    async with session.head(running.url) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_comes_back_as_its_length_and_digest(
    running: App, session: aiohttp.ClientSession, is_chunked: bool
) -> None:
    body = bytes(range(256)) * 1000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7000):
            yield body[start : start + 7000]

    async with session.post(running.url, data=pieces() if is_chunked else body, expect100=True) as answer:
        said = await answer.json()
    assert said == {"version": "7", "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET /ws HTTP/1.1\r\n\r\n", b"426"),
        (b"GET /slow?s=long HTTP/1.1\r\n\r\n", b"400"),
    ],
)
async def test_what_is_not_understood_gets_a_status(running: App, request_bytes: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection(*running.target[:2])
    writer.write(request_bytes)
    assert (await reader.readuntil(b"\r\n")).split()[1] == status
    writer.close()


async def test_a_connection_is_kept_until_the_client_ends_it(running: App) -> None:
    reader, writer = await asyncio.open_connection(*running.target[:2])
    for wish in (b"keep-alive", b"keep-alive", b"close"):
        writer.write(b"GET / HTTP/1.1\r\nConnection: " + wish + b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: " + wish in head
        await reader.readuntil(b"\n")
    assert await reader.read() == b""
    writer.close()


async def test_an_http_1_0_client_gets_its_end_of_connection(running: App) -> None:
    reader, writer = await asyncio.open_connection(*running.target[:2])
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert b'"version": "7"' in await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_a_websocket_echoes_and_pongs(running: App, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(running.url + "/ws", autoping=False) as websocket:
        for text in ("a", "b" * 1000, "c" * 100_000):
            await websocket.send_str(text)
            assert await websocket.receive_str() == text
        await websocket.send_bytes(b"\0\1")
        assert await websocket.receive_bytes() == b"\0\1"
        await websocket.ping(b"hello")
        pong = await websocket.receive()
        assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"hello")
        await websocket.close(code=1000)
        assert websocket.close_code == 1000


async def test_a_websocket_refuses_what_is_no_frame_of_a_client(running: App) -> None:
    reader, writer = await asyncio.open_connection(*running.target[:2])
    writer.write(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(encode_frame(Frame(1, b"not masked")))
    assert await read_frame(reader, is_masked=False) == Frame(8, (1002).to_bytes(2, "big"))
    writer.close()


async def test_events_come_until_the_server_ends_and_end_whole(running: App, session: aiohttp.ClientSession) -> None:
    async with session.get(running.url + "/events?every=0.01") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b"id: 0\ndata: 7\n\n"
        assert await answer.content.readuntil(b"\n\n") == b"id: 1\ndata: 7\n\n"
        running.process.terminate()
        await answer.content.read()  # raises when the last chunk is missing
    assert await running.ends() == 0


async def test_sigterm_finishes_open_requests_and_takes_no_new_ones(
    running: App, session: aiohttp.ClientSession
) -> None:
    async with session.get(running.url):
        pass  # leaves an idle connection behind, which must not hold the end up
    reader, writer = await asyncio.open_connection(*running.target[:2])
    writer.write(b"GET /slow?s=0.5 HTTP/1.1\r\n\r\n")
    await _is_being_asked(running)
    running.process.terminate()
    await running.says(b"ending")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*running.target[:2])
    answer = await reader.read()
    assert b"200 OK" in answer and b"Connection: close" in answer and b'"seconds": 0.5' in answer
    writer.close()
    assert await running.ends() == 0


async def test_sigterm_says_1001_right_behind_an_answer(running: App, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(running.url + "/ws") as websocket:
        await websocket.send_str("before")
        assert await websocket.receive_str() == "before"
        running.process.terminate()
        await running.says(b"ending")
        await websocket.send_str("after")
        assert await websocket.receive_str() == "after"
        assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert websocket.close_code == 1001
    assert await running.ends() == 0


async def test_sigterm_ends_a_silent_websocket_too(running: App, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(running.url + "/ws") as websocket:
        running.process.terminate()
        assert (await websocket.receive()).data == 1001
    assert await running.ends() == 0


async def test_exit1_prints_why_and_exits_with_1() -> None:
    async with app(fault="exit1") as broken:
        assert await broken.ends() == 1
    assert broken.output.splitlines()[-1] == b"giving up"


async def test_never_listens_and_yet_ends_gracefully() -> None:
    async with app(fault="never_listens") as broken:
        await broken.says(b"starting with fault never_listens")
        broken.process.terminate()
        assert await broken.ends() == 0
    assert b"listening on" not in broken.output


async def test_listens_after_its_time() -> None:
    async with app(fault="listens_after=0.3") as late:
        await late.says(b"starting")
        began = asyncio.get_running_loop().time()
        await late.listens()
        assert asyncio.get_running_loop().time() - began > 0.25


async def test_dies_after_its_time_with_1(session: aiohttp.ClientSession) -> None:
    async with app(fault="dies_after=0.3") as mortal:
        await mortal.listens()
        async with session.get(mortal.url + "/health") as answer:
            assert answer.status == 200
        assert await mortal.ends() == 1


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("", [200, 200, 200, 200]),
        ("health_500", [500, 500]),
        ("health_301", [301, 301]),
        ("flapping", [200, 503, 200, 503]),
    ],
)
async def test_health_answers_as_told(session: aiohttp.ClientSession, fault: str, statuses: list[int]) -> None:
    async with app(fault=fault) as told:
        await told.listens()
        seen = []
        for _ in statuses:
            async with session.get(told.url + "/health", allow_redirects=False) as answer:
                seen.append(answer.status)
        async with session.get(told.url) as answer:
            assert answer.status == 200  # only the health is bad
    assert seen == statuses


async def test_crash_on_health_crashes_and_only_then(session: aiohttp.ClientSession) -> None:
    async with app(fault="crash_on_health") as fragile:
        await fragile.listens()
        async with session.get(fragile.url) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(fragile.url + "/health")
        assert await fragile.ends() == 1


async def test_ignores_sigterm_serves_on(session: aiohttp.ClientSession) -> None:
    async with app(fault="ignores_sigterm") as stubborn:
        await stubborn.listens()
        stubborn.process.terminate()
        async with session.get(stubborn.url) as answer:
            assert answer.status == 200
        assert stubborn.process.returncode is None


@pytest.mark.parametrize("text", ["helth_500", "=5", "dies_after=soon"])
def test_a_misspelt_fault_never_makes_a_healthy_application(text: str) -> None:
    with pytest.raises(ValueError, match=r"no fault|could not convert"):
        read_fault(text)


class Images:
    """Containers of images made by `app_image`; without network, as only their own words are asked for."""

    def __init__(self, host: str, registry: LabRegistry) -> None:
        self.host = host
        self.image = registry.image("acme/lab-app")
        self.client = docker.APIClient(host)
        self._containers: list[str] = []

    def run(self, version: str, fault: str = "") -> str:
        made = app_image(self.host, self.image, f"v{version}", version=version, fault=fault)
        limits = self.client.create_host_config(mem_limit="64m", memswap_limit="64m", network_mode="none")
        container = self.client.create_container(f"{made.image}@{made.digest}", host_config=limits)["Id"]
        self._containers.append(container)
        self.client.start(container)
        return str(container)

    def close(self) -> None:
        for container in self._containers:
            self.client.remove_container(container, force=True)
        self.client.close()


@pytest.fixture
def images(engine_host: str, docker_registry: LabRegistry) -> Iterator[Images]:
    images = Images(engine_host, docker_registry)
    yield images
    images.close()


@pytest.mark.parts
def test_a_container_of_its_image_serves_and_ends_gracefully(images: Images) -> None:
    container = images.run("0042")
    lines = images.client.logs(container, stream=True, follow=True)
    assert next(lines) == b"version 0042 starting\n"
    assert next(lines) == b"version 0042 listening on 0.0.0.0:8080\n"
    images.client.stop(container, timeout=20)
    assert images.client.wait(container)["StatusCode"] == 0
    assert b"".join(lines).endswith(b"ended\n")


@pytest.mark.parts
def test_each_version_and_fault_is_another_digest_and_the_same_one_is_the_same(
    engine_host: str, docker_registry: LabRegistry
) -> None:
    image = docker_registry.image("acme/lab-app")
    made = [
        app_image(engine_host, image, "x", version=version, fault=fault).digest
        for version, fault in (("1", ""), ("2", ""), ("2", "exit1"), ("2", ""))
    ]
    assert len(set(made)) == 3
    assert made[1] == made[3]


@pytest.mark.parts
@pytest.mark.parametrize(
    ("fault", "exit_code", "last_line"),
    [
        ("exit1", 1, b"giving up"),
        ("oom", 137, b"version 1 starting with fault oom"),
        ("dies_after=0.1", 1, b"dying: its time has come"),
    ],
)
def test_a_fault_ends_its_container_as_it_says(images: Images, fault: str, exit_code: int, last_line: bytes) -> None:
    container = images.run("1", fault)
    assert images.client.wait(container, timeout=30)["StatusCode"] == exit_code
    assert images.client.logs(container).splitlines()[-1] == last_line


@pytest.mark.parts
def test_wrong_port_listens_beside_8080(images: Images) -> None:
    lines = images.client.logs(images.run("1", "wrong_port"), stream=True, follow=True)
    assert [next(lines), next(lines)][1] == b"version 1 listening on 0.0.0.0:8081\n"


@pytest.mark.parts
def test_an_unknown_fault_makes_no_image(engine_host: str) -> None:
    with pytest.raises(ValueError, match="is no fault"):
        app_image(engine_host, "127.0.0.1:1/acme/lab-app", "1", version="1", fault="misspelt")


@pytest.mark.parts
def test_a_push_that_fails_says_so(engine_host: str) -> None:
    with pytest.raises(RuntimeError, match="cannot be pushed"):
        app_image(engine_host, "127.0.0.1:1/acme/lab-app", "1", version="1")


async def _is_being_asked(running: App) -> None:
    """Its answer to a later request means that it has read the earlier one."""
    reader, writer = await asyncio.open_connection(*running.target[:2])
    writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()


@given(
    st.binary(max_size=70_000),
    st.sampled_from((1, 2, 8, 9, 10)),
    st.booleans(),
    st.one_of(st.just(b""), st.binary(min_size=4, max_size=4)),
)
def test_every_frame_is_read_as_it_was_written(payload: bytes, opcode: int, is_final: bool, mask: bytes) -> None:
    async def there_and_back() -> Frame:
        reader = asyncio.StreamReader(limit=1 << 20)
        reader.feed_data(encode_frame(Frame(opcode, payload, is_final), mask))
        return await read_frame(reader, is_masked=bool(mask))

    assert asyncio.run(there_and_back()) == Frame(opcode, payload, is_final)
