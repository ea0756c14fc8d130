"""POST /webhooks/github over real TCP: every answer of the table, every limit, and bytes of any kind."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import StoreUnavailable
from bot.settings import Settings
from bot.webhooks import PackageEvent, Verdict
from handlers import errors, github
from lab import github as lab
from lab.http_server import serving
from lab.waiting import until
from tests.handlers.listening import listening

SECRET = "a secret of sixteen characters"
NEXT = "the secret that comes after it"
DEFAULT = github.Limits()


class Inbox:
    """The edge behind the handler, in memory: accepts what names a package, knows ids it has seen."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, bytes, PackageEvent | None, str]] = {}
        self.is_full = False
        self.bug = ""
        self.refused = 0
        self.catalogue = Catalogue()

    def refuse(self) -> None:
        self.refused += 1

    async def receive(
        self, *, delivery: str, event: str, body: bytes, package: PackageEvent | None, ignored: str
    ) -> Verdict:
        if self.is_full:
            raise StoreUnavailable("The disk is full.", "Make room.")
        if self.bug:
            raise RuntimeError(self.bug)
        if delivery in self.seen:
            return Verdict("duplicate", (), ())
        self.seen[delivery] = (event, body, package, ignored)
        return Verdict("accepted", ("web",), ()) if package else Verdict("ignored", (), (ignored,))


class Catalogue:
    """Hears what was pushed."""

    def __init__(self) -> None:
        self.pushed: list[str] = []

    def look_soon(self, image: str) -> None:
        self.pushed.append(image)


class Services(NamedTuple):
    settings: Settings
    inbox: Inbox
    catalogue: Catalogue


def application(inbox: Inbox, secrets: str = SECRET, limits: github.Limits = DEFAULT) -> web.Application:
    services = Services(Settings.model_validate({"github_webhook_secret": secrets}), inbox, inbox.catalogue)
    app = web.Application(middlewares=[errors.middleware])
    app.add_routes(github.routes(services, limits))
    return app


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def limits() -> github.Limits:
    return DEFAULT


@pytest.fixture
def secrets() -> str:
    return f"{SECRET},{NEXT}"


@pytest.fixture
async def port(inbox: Inbox, secrets: str, limits: github.Limits) -> AsyncIterator[int]:
    async with listening(application(inbox, secrets, limits)) as port:
        yield port


@pytest.fixture
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/webhooks/github"


# --- the table ---


async def test_a_push_is_accepted_when_it_is_in_the_inbox(url: str, inbox: Inbox) -> None:
    answer = await lab.deliver(url, SECRET, lab.push(tag="0007"), delivery="d-1")
    assert answer == (202, {"delivery": "d-1", "accepted": ["web"], "ignored": []})
    event, body, package, ignored = inbox.seen["d-1"]
    assert (event, body, ignored) == ("package", lab.encode(lab.push(tag="0007")), "")
    assert package is not None and (package.image, package.tag) == ("ghcr.io/acme-labs/web", "0007")


async def test_the_other_event_the_other_secret_and_a_form_are_as_good(url: str, inbox: Inbox) -> None:
    body = lab.push(event="registry_package")
    answer = await lab.deliver(url, NEXT, body, event="registry_package", content_type=lab.FORM)
    assert answer.status == 202
    assert all(package is not None for _, _, package, _ in inbox.seen.values())


async def test_a_ping_gets_200(url: str) -> None:
    answer = await lab.deliver(url, SECRET, lab.sample("ping"), event="ping", delivery="p")
    assert answer == (200, {"delivery": "p", "accepted": [], "ignored": ["ping"]})


async def test_a_duplicate_gets_200_and_says_so(url: str) -> None:
    assert (await lab.deliver(url, SECRET, lab.push(), delivery="twice")).status == 202
    answer = await lab.deliver(url, SECRET, lab.push(), delivery="twice")
    assert answer == (200, {"delivery": "twice", "accepted": [], "ignored": ["duplicate"]})


async def test_the_catalogue_hears_of_a_push_once(url: str, inbox: Inbox) -> None:
    for _ in range(2):
        await lab.deliver(url, SECRET, lab.push(), delivery="twice")
    assert (await lab.deliver(url, SECRET, lab.push(), change={"X-Hub-Signature-256": None})).status == 401
    assert inbox.catalogue.pushed == ["ghcr.io/acme-labs/web"]


async def test_of_a_multi_platform_push_one_event_is_accepted(url: str) -> None:
    bodies = lab.multi_platform_push("ghcr.io/acme-labs/web", "0008")
    assert [(await lab.deliver(url, SECRET, body)).status for body in bodies] == [200, 200, 200, 202]


@pytest.mark.parametrize(("event", "body", "reason"), [
    ("push", {}, "nothing to do for event 'push'"),
    ("package", lab.push() | {"action": "deleted"}, "nothing to do for action 'deleted'"),
    ("package", lab.helm_chart(), "Helm chart"),
    ("package", lab.sample("npm_package"), "npm package"),
    ("package", lab.push(tag="no tag"), "'no tag' is not a tag"),
])  # fmt: skip
async def test_what_is_of_no_use_gets_200_with_the_reason(url: str, event: str, body: lab.Body, reason: str) -> None:
    answer = await lab.deliver(url, SECRET, body, event=event, delivery="x")
    assert answer == (200, {"delivery": "x", "accepted": [], "ignored": [reason]})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_get_405(url: str, method: str) -> None:
    async with aiohttp.request(method, url) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "é"])
@pytest.mark.parametrize("body", [lab.push(), b"{", b"", b"\xff"])
async def test_without_a_right_signature_it_is_401_and_nothing_is_stored(
    url: str, inbox: Inbox, signature: str | None, body: lab.Body | bytes
) -> None:
    answer = await lab.deliver(url, SECRET, body, change={"X-Hub-Signature-256": signature, "X-GitHub-Delivery": "?"})
    assert answer.status == 401
    assert answer.body["code"] == "bad_signature"
    assert not inbox.seen


async def test_a_wrong_secret_is_401(url: str, inbox: Inbox) -> None:
    assert (await lab.deliver(url, SECRET + ".", lab.push())).status == 401
    assert not inbox.seen


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a": "\xff"}', b"payload=%7B%7D"])
async def test_signed_but_no_json_object_is_400(url: str, inbox: Inbox, body: bytes) -> None:
    answer = await lab.deliver(url, SECRET, body)
    assert (answer.status, answer.body["code"]) == (400, "invalid_input")
    assert not inbox.seen


@pytest.mark.parametrize("change", [
    {"X-GitHub-Delivery": None}, {"X-GitHub-Delivery": ""}, {"X-GitHub-Delivery": "a" * 129},
    {"X-GitHub-Delivery": "a b"}, {"X-GitHub-Delivery": "../x"}, {"X-GitHub-Delivery": "é"},
    {"X-GitHub-Event": None}, {"X-GitHub-Event": "pack age"}, {"X-GitHub-Event": "x" * 65},
])  # fmt: skip
async def test_signed_with_strange_headers_is_400(url: str, inbox: Inbox, change: dict[str, str | None]) -> None:
    answer = await lab.deliver(url, SECRET, lab.push(), change=change)
    assert (answer.status, answer.body["code"]) == (400, "bad_header")
    assert not inbox.seen


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x"])
async def test_a_compressed_body_is_415_before_it_is_read(url: str, encoding: str) -> None:
    answer = await lab.deliver(url, SECRET, lab.push(), change={"Content-Encoding": encoding})
    assert (answer.status, answer.body["code"]) == (415, "content_encoding")


async def test_a_full_store_is_503_and_never_2xx(url: str, inbox: Inbox) -> None:
    inbox.is_full = True
    async with aiohttp.ClientSession() as session:
        raw = lab.encode(lab.push())
        async with session.post(url, data=raw, headers=lab.headers(SECRET, raw)) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await answer.json(content_type=None))["code"] == "store_unavailable"
    inbox.is_full = False
    assert (await lab.deliver(url, SECRET, lab.push())).status == 202


@pytest.mark.parametrize("secrets", ["", " , "])
async def test_without_a_secret_the_endpoint_is_off_and_says_why(url: str, inbox: Inbox) -> None:
    answer = await lab.deliver(url, "", lab.push())
    assert (answer.status, answer.body["code"]) == (503, "webhook_off")
    assert "GITHUB_WEBHOOK_SECRET" in answer.body["next_step"]
    assert not inbox.seen


async def test_an_unexpected_error_shows_a_reference_and_logs_the_rest(
    url: str, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.bug = "password 31415926"
    with caplog.at_level(logging.ERROR):
        answer = await lab.deliver(url, SECRET, lab.push())
    assert (answer.status, answer.body["code"]) == (500, "internal")
    assert "31415926" not in str(answer.body)
    assert all(part in caplog.text for part in (answer.body["reference"], "31415926", "Traceback"))


# --- limits ---


async def test_deliveries_up_to_25_mb_are_read(url: str) -> None:
    body = lab.push() | {"padding": "x" * 24_000_000}
    assert (await lab.deliver(url, SECRET, body)).status == 202


@pytest.mark.parametrize("limits", [github.Limits(size=10_000)])
@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_larger_delivery_is_413(url: str, inbox: Inbox, is_chunked: bool) -> None:
    for size, status in ((10_000, 400), (10_001, 413)):
        raw = b"x" * size
        data = _in_pieces(raw) if is_chunked else raw
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=data, headers=lab.headers(SECRET, raw)) as answer,
        ):
            assert answer.status == status
    assert not inbox.seen


async def test_more_than_github_ever_sends_is_413_at_once(port: int) -> None:
    reader, writer = await _begin(port, length=github.Limits().size + 1)
    assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()


@pytest.mark.parametrize("limits", [github.Limits(seconds=0.2)])
async def test_a_body_that_does_not_come_is_408(port: int) -> None:
    reader, writer = await _begin(port, length=100)
    writer.write(b"{")
    assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 408 Request Timeout\r\n"
    writer.close()


@pytest.mark.parametrize("limits", [github.Limits(at_once=2)])
async def test_too_many_bodies_at_once_are_503_until_one_ends(
    port: int, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    slow = [await _begin(port, length=100) for _ in range(2)]

    async def status() -> int:
        return (await lab.deliver(url, SECRET, lab.push())).status

    async def is_full() -> bool:
        return await status() == 503

    await until(is_full)
    answer = await lab.deliver(url, SECRET, lab.push())
    assert (answer.status, answer.body["code"]) == (503, "too_busy")
    slow[0][1].close()  # a sender that goes away gives its place back, and is no error of ours

    async def is_accepted() -> bool:
        return await status() == 202

    await until(is_accepted)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    slow[1][1].close()


@pytest.mark.parametrize("limits", [github.Limits(seconds=0.2)])
async def test_chunks_that_are_none_are_refused(port: int, inbox: Inbox) -> None:
    reader, writer = await _begin(port, length=None)
    writer.write(b"5\r\nhello\r\nnonsense\r\n")
    status = (await asyncio.wait_for(reader.readline(), 5)).split()[1]
    assert status in (b"400", b"408")  # aiohttp tells the handler of them only when they come with the head
    assert not inbox.seen
    writer.close()


async def _begin(port: int, length: int | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The head of a delivery whose body has not come yet; `length` None is a chunked one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    writer.write(f"POST /webhooks/github HTTP/1.1\r\nHost: o8\r\n{size}\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def _in_pieces(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 1000):
        yield raw[start : start + 1000]


# --- anything at all, over one real server in a thread of its own ---

START = b"POST /webhooks/github HTTP/1.1\r\nHost: o8\r\n"
EVENTS = st.sampled_from(["package", "registry_package", "ping", "push"])
CONTENT_TYPES = st.sampled_from([lab.JSON, lab.FORM, ""])
LATIN = st.characters(max_codepoint=255, exclude_categories=["Cc"])  # what http.client lets through


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(application(Inbox())) as address:
        yield address


def _post(address: str, raw: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("POST", "/webhooks/github", raw, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(), st.text(alphabet=LATIN, max_size=80))
def test_no_unsigned_bytes_are_accepted_or_break_anything(address: str, raw: bytes, signature: str) -> None:
    assert _post(address, raw, {"X-Hub-Signature-256": signature}) == 401


@settings(max_examples=300, deadline=None)
@given(st.binary(), EVENTS, CONTENT_TYPES)
def test_signed_bytes_are_400_or_200(address: str, raw: bytes, event: str, content_type: str) -> None:
    headers = lab.headers(SECRET, raw, event=event, content_type=content_type)
    assert _post(address, raw, headers) in (200, 400)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from([
    b"", b"POST /", START, START + b"Transfer-Encoding: chunked\r\n\r\n",
    START + b"Content-Encoding: gzip\r\nContent-Length: LENGTH\r\n\r\n",
]))  # fmt: skip
def test_no_bytes_on_the_wire_make_a_5xx(address: str, raw: bytes, start: bytes) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(start.replace(b"LENGTH", b"%d" % len(raw)) + raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))


def test_control_the_same_server_accepts_a_genuine_delivery(address: str) -> None:
    raw = lab.encode(lab.push())
    assert _post(address, raw, lab.headers(SECRET, raw)) == 202


# --- beside the webhook ---


async def test_an_unknown_path_is_a_problem_body(port: int) -> None:
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/nothing") as answer:
        body = await answer.json(content_type="application/problem+json")
    assert answer.status == 404
    assert (body["status"], body["title"], body["code"]) == (404, "Not Found", "not_found")
