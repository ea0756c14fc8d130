"""The other calls of the original's front end: stop, restart, remove, environment, logs, pull; errors, other pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from bot.errors import EngineError, PullFailed
from bot.models import Kind
from bot.permissions import GLOBAL, Action
from handlers.orchestr8 import ROUTES, listing
from lab.front_end import ORIGIN, Blocked
from tests.handlers.fronting import IMAGE, NAME, SCOPE, Fronted, fronted
from tests.handlers.visiting import basic

pytestmark = pytest.mark.slow

A = Action
TEXT = "# Ünïcödé, kept 🔑\r\n\r\nA=1\nexport B='two words'\nC=\"line\\nline\"\n  D = 4  # why\nEMPTY=\n\tE=5\n\n# end"


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as it:
        yield it


# -- stop, restart, remove


async def test_stop_and_restart_say_so(it: Fronted) -> None:
    first = await it.deployed()
    answer = await it.root.restart(NAME)
    assert (answer.status, set(answer.body) >= {"success", "message"}, answer.body["success"]) == (200, True, True)
    assert ((await it.live()).kind, (await it.live()).digest) == (Kind.RESTART, first.digest)
    assert (await it.root.service(NAME))["id"] == f"{NAME}-{(await it.live()).slot}", "the new container's, at once"
    answer = await it.root.stop(NAME)
    assert (answer.status, answer.body) == (200, {"success": True, "message": f"{NAME} is stopped."})
    assert it.house.nginx.in_maintenance == {NAME}
    assert (await it.root.stop(NAME)).status == 200, "twice is once"


async def test_a_removed_service_is_gone_at_once_and_its_history_stays(it: Fronted) -> None:
    await it.deployed()
    answer = await it.root.remove(NAME)
    assert answer.status == 200
    assert answer.body == {"success": True, "message": f"{NAME} is removed; its volumes are kept."}
    assert await it.root.services() == []
    assert it.house.engine.replicas == {}
    assert await it.count() == 1
    assert (await it.root.remove(NAME)).status == 404


@pytest.mark.parametrize("verb", ["stop", "restart", "remove"])
async def test_what_is_not_there_and_what_one_may_not_see_is_the_same_404(it: Fronted, verb: str) -> None:
    await it.deployed()
    page = await it.page("ada", (A.MANAGE, "service:other"))
    hidden, absent = [await getattr(page, verb)(name) for name in (NAME, "nothing-here")]
    assert (hidden.status, hidden.error.replace(NAME, "x")) == (404, absent.error.replace("nothing-here", "x"))
    seen = await it.page("bob", (A.VIEW_STATUS, SCOPE))
    assert (await getattr(seen, verb)(NAME)).status == 403
    assert await it.count() == 1


async def test_what_cannot_be_done_now_is_a_409_with_the_reason(it: Fronted) -> None:
    await it.add()
    for verb in (it.root.stop, it.root.restart):
        answer = await verb(NAME)
        assert (answer.status, "never been deployed" in answer.error) == (409, True)


# -- environment


async def test_a_service_without_an_environment_has_an_empty_one(it: Fronted) -> None:
    await it.add()
    answer = await it.root.env(NAME)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, "", "text/plain; charset=utf-8")


async def test_an_environment_is_kept_byte_for_byte_and_deployed(it: Fronted) -> None:
    await it.deployed()
    answer = await it.root.save_env(NAME, TEXT)
    assert (answer.status, answer.body["success"]) == (200, True)
    assert (await it.root.env(NAME)).body == TEXT
    live = await it.live()
    assert (live.kind, live.environment_revision) == (Kind.CONFIGURE, 1)


async def test_an_environment_can_be_emptied(it: Fronted) -> None:
    await it.deployed()
    for text in (TEXT, ""):
        assert (await it.root.save_env(NAME, text)).status == 200
        assert (await it.root.env(NAME)).body == text


async def test_saving_the_same_again_deploys_nothing(it: Fronted) -> None:
    await it.deployed()
    await it.root.save_env(NAME, TEXT)
    count = await it.count()
    assert (await it.root.save_env(NAME, TEXT)).body["success"]
    assert await it.count() == count


async def test_an_environment_that_did_not_come_up_is_tried_again(it: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    await it.deployed()

    async def refuse(workload: Any) -> None:
        raise EngineError("Docker refused.", "Look.")

    monkeypatch.setattr(it.house.engine, "start", refuse)
    assert (await it.root.save_env(NAME, TEXT)).status == 409
    assert (await it.root.env(NAME)).body == TEXT
    monkeypatch.undo()
    assert (await it.root.save_env(NAME, TEXT)).body["message"] == f"{NAME} 0001 serves."
    assert (await it.live()).environment_revision == 1


@pytest.mark.parametrize("content", ["no equals sign", "1A=2", "A=\0", "=x", "A=" + "x" * 300_000, "A='open"])
async def test_what_is_no_environment_is_refused_and_never_repeated(it: Fronted, content: str) -> None:
    await it.deployed()
    answer = await it.root.save_env(NAME, content)
    assert answer.status == 400
    assert content not in answer.error
    assert (await it.root.env(NAME)).body == ""


async def test_who_may_see_the_environment_may_not_write_it(it: Fronted) -> None:
    await it.deployed()
    await it.root.save_env(NAME, TEXT)
    reader, other = await it.page("ada", (A.VIEW_ENV, SCOPE)), await it.page("bob", (A.MANAGE, SCOPE))
    assert (await reader.env(NAME)).body == TEXT
    assert (await reader.save_env(NAME, "A=2")).status == 403
    assert ((await other.env(NAME)).status, (await other.save_env(NAME, "A=2")).status) == (403, 403)
    assert (await it.root.env(NAME)).body == TEXT


async def test_of_two_who_save_at_once_each_is_told_what_came_of_it(it: Fronted) -> None:
    await it.add()
    answers = await asyncio.gather(*(it.root.save_env(NAME, f"A={number}\n") for number in range(5)))
    kept = (await it.root.env(NAME)).body
    revisions = await it.house.services.store.environment_revisions(NAME)
    saved = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert {answer.status for answer in answers} <= {200, 409}
    assert len(revisions) == len(saved) >= 1
    assert kept in [f"A={number}\n" for number in saved]


# -- logs


async def lines(it: Fronted, id: str, count: int) -> list[str]:
    async with asyncio.timeout(10), it.root.logs(id) as coming:
        return [await anext(coming) for _ in range(count)]


async def test_a_log_is_read_by_name_and_by_id(it: Fronted) -> None:
    live = await it.deployed()
    it.house.engine.lines = [f"line {n}\n".encode() for n in range(60)]
    by_id = (await it.root.service(NAME))["id"]
    assert by_id == f"{NAME}-{live.slot}"
    for name in (NAME, by_id, listing.id_of(NAME, [])):
        found = await lines(it, name, 50)
        parts = [line.partition(" ") for line in found]
        assert [text for _, _, text in parts] == [f"line {n}" for n in range(10, 60)], "the last 50"
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time, _, _ in parts)


async def test_tail_and_since_of_a_log(it: Fronted) -> None:
    await it.deployed()
    it.house.engine.lines = [f"line {n}\n".encode() for n in range(60)]
    url = f"{it.root.server}/services/{NAME}/logs/ws?tail=2"
    async with it.root.client.ws_connect(url, headers=basic("root") | {"Origin": ORIGIN}) as socket:
        text = await socket.receive_str(timeout=10)
    assert [line.split()[-1] for line in text.splitlines()] == ["58", "59"]
    for query in ("tail=x", "tail=-1", "tail=9999999999", "tail=%00", "since=yesterday", "since=1e99", "since=nan"):
        assert (await it.root.call("GET", f"/services/{NAME}/logs?{query}")).status == 400, query


async def test_a_foreign_page_opens_no_socket(it: Fronted) -> None:
    await it.deployed()
    url = f"{it.root.server}/services/{NAME}/logs/ws"
    for headers, status in ((basic("root") | {"Origin": "https://evil.example.com"}, 403), ({}, 401)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await it.root.client.ws_connect(url, headers=headers)
        assert refusal.value.status == status


async def test_an_id_tells_nobody_the_name_behind_it(it: Fronted) -> None:
    await it.deployed()
    row = await it.root.service(NAME)
    page = await it.page("ada", (A.ADMIN, "service:other"))
    for id in (row["id"], listing.id_of(NAME, []), "0" * 12):
        answer = await page.call("GET", f"/services/{id}/logs")
        assert (answer.status, answer.error) == (404, f"There is no service {id!r}. `o8 service apply FILE.toml` makes "
                                                      "the first one.")  # fmt: skip
    seen = await it.page("bob", (A.MANAGE, SCOPE))
    assert (await seen.call("GET", f"/services/{row['id']}/logs")).status == 403


async def test_a_service_that_never_ran_has_no_log(it: Fronted) -> None:
    await it.add()
    answer = await it.root.call("GET", f"/services/{NAME}/logs")
    assert (answer.status, "never been deployed" in answer.error) == (409, True)


# -- pull


async def test_a_pull_is_told_in_whole_lines_and_ends_with_done(it: Fronted) -> None:
    digest = it.house.registry.push("0001")
    *progress, last = await it.root.pull(f"{IMAGE}:0001")
    assert last == "Done."
    told = [orjson.loads(line) for line in progress]
    assert all(set(line) == {"status", "id", "progress"} for line in told)
    assert all(isinstance(value, str) for line in told for value in line.values())
    assert (told[0]["status"], told[-1]["status"], told[-1]["progress"]) == ("Pulling", "Pulled", digest)
    (entry,) = await it.house.services.store.audit(1)
    assert (entry.actor, entry.action, entry.subject) == ("user:root", "pull", f"{IMAGE}:0001")


async def test_a_pull_tells_how_far_it_is(it: Fronted) -> None:
    it.house.registry.push("0001")
    it.house.engine.may_pull.clear()
    url = f"{it.root.server}/images/pull?image={IMAGE}%3A0001"
    async with it.root.client.get(url, headers=basic("root") | {"Origin": ORIGIN}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        for expected in ("", "5.0 MB / 40.0 MB"):
            assert orjson.loads(await answer.content.readline())["progress"] == expected
        it.house.engine.may_pull.set()
        assert (await answer.text()).endswith("Done.\n")


@pytest.mark.parametrize("reference", [
    "ghcr.io/acme/storefront:0009", "ghcr.io/acme/storefront", "Not/An:Image", "", "../x:1", "x%20y:1", "x:%00",
    "ghcr.io/a/b:" + "x" * 200, "x" * 4000, "%22%0aDone.%0a",
])  # fmt: skip
async def test_what_cannot_be_pulled_ends_with_one_line_that_says_so(it: Fronted, reference: str) -> None:
    told = await it.root.pull(reference)
    assert told[-1].startswith("Error: ") and "Done." not in told
    assert all(set(orjson.loads(line)) == {"status", "id", "progress"} for line in told[:-1])


async def test_a_pull_that_breaks_says_so(it: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    it.house.registry.push("0001")

    async def breaks(*_: object) -> None:
        raise PullFailed("The layer is corrupt.\nReally.", "Push it again.")

    monkeypatch.setattr(it.house.engine, "pull", breaks)
    assert (await it.root.pull(f"{IMAGE}:0001"))[-1] == "Error: The layer is corrupt. Really. Push it again."


async def test_a_pull_ends_when_its_reader_goes(it: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    it.house.registry.push("0001")
    it.house.engine.may_pull.clear()
    is_over = asyncio.Event()
    pull = it.house.engine.pull

    async def watched(*arguments: Any) -> None:
        try:
            await pull(*arguments)
        finally:
            is_over.set()

    monkeypatch.setattr(it.house.engine, "pull", watched)
    async with it.root.client.get(f"{it.root.server}/images/pull?image={IMAGE}:0001", headers=basic("root")) as answer:
        await answer.content.readline()
    async with asyncio.timeout(10):
        await is_over.wait()


async def test_only_who_may_pull_pulls(it: Fronted) -> None:
    page = await it.page("ada", (A.DEPLOY, GLOBAL))
    answer = await page.call("GET", f"/images/pull?image={IMAGE}:0001")
    assert (answer.status, "pull_new_image" in answer.error) == (403, True)


# -- what every call has in common


def calls() -> list[tuple[str, str]]:
    return [(r.method, r.path.replace("{name}", NAME).replace("{api: api }/{users: users }", "%20api%20/%20users%20"))
            for r in ROUTES]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), calls())
async def test_each_call_may_come_from_a_page_that_is_allowed_and_from_no_other(
    it: Fronted, method: str, path: str
) -> None:
    """`call` raises `Blocked` unless the preflight passes, and the answer names the page's origin."""
    for name, password, status in (("root", "a wrong password", 401), ("gone", "", 401)):
        it.root.log_in(name, password)
        answer = await it.root.call(method, path, {} if method in ("POST", "PATCH") else None)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (status, 'Basic realm="Orchestr8"')
        assert answer.error and answer.headers["Content-Type"] == "application/json"
        assert "Origin" in answer.headers["Vary"]
    for foreign in ("https://evil.example.com", "null", f"{ORIGIN}.evil.example.com", ORIGIN.upper()):
        it.root.origin = foreign
        with pytest.raises(Blocked):
            await it.root.call(method, path)


async def test_an_answer_without_a_login_asks_for_one(it: Fronted) -> None:
    async with it.root.client.get(f"{it.root.server}/services") as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Orchestr8"')


async def test_a_token_will_do_as_well(it: Fronted) -> None:
    await it.deployed()
    _, secret = await it.house.services.store.add_token("root", "ci", None, datetime.now(UTC) + timedelta(hours=1))
    async with it.root.client.get(
        f"{it.root.server}/services", headers={"Authorization": f"Bearer {secret}"}
    ) as answer:
        assert [row["name"] for row in await answer.json()] == [NAME]


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"service": "\\ud800"}', b"[" * 100_000, b'{"service": NaN}',
    b'{"service": {}}', b'{"service": null}', b'{"service": ["a"]}', b'{"content": {}}', b'{"password": []}',
    b'{"permissions": {}}', b'{"permissions": [1]}', b"service=storefront", b"\0",
])  # fmt: skip
async def test_a_malformed_body_is_a_400_with_a_text(it: Fronted, body: bytes) -> None:
    await it.add()
    for method, path in calls():
        if method in ("POST", "PATCH"):
            async with it.root.client.request(
                method, f"{it.root.server}{path}", data=body, headers=basic("root") | {"Origin": ORIGIN}
            ) as answer:
                assert answer.status == 400, path
                assert (await answer.json())["error"]


async def test_a_body_that_is_too_large_is_refused_with_a_text(it: Fronted) -> None:
    await it.add()
    answer = await it.root.save_env(NAME, "x" * (3 * 1024 * 1024))
    assert (answer.status, bool(answer.error)) == (413, True)


HOSTILE = [
    "../../etc/passwd", "..", ".", "/", "a/b", "a b", " ", "\0", "\n", "a\nb", "'", '"', "`id`", "$(id)", "{{7*7}}",
    "a: b\n- c", "!!python/object", "<script>", "%00", "%2e%2e%2f", "ä", "🔑", "\u202e", "A", "-a", "a-", "a" * 64,
    "0x1F", "; return 200;", "a;}", "x" * 1_000_000,
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
async def test_no_value_of_a_form_does_harm(it: Fronted, value: str) -> None:
    """A 4xx with a text, or it is a fine value of that field; never a 5xx, and never another service."""
    await it.add()
    port = str(it.house.port)
    forms: list[dict[str, Any]] = [
        {"service": value, "image": f"{IMAGE}:0001", "config": {"containerPort": port}},
        {"service": "blog", "image": value, "config": {"containerPort": port}},
        {"service": "blog", "image": f"{IMAGE}:{value}", "config": {"containerPort": port}},
        {"service": "blog", "image": f"{IMAGE}@{value}", "config": {"containerPort": port}},
        *({"service": NAME, "config": {key: value}} for key in (
            "hostPort", "containerPort", "domain", "memoryLimit", "cpuLimit", "clientMaxBodySize", "restartPolicy")),
    ]  # fmt: skip
    for form in forms:
        answer = await it.root.call("POST", "/services/start", form)
        assert answer.status in (200, 400, 409) and (answer.status == 200 or answer.error), form
    for path in ("stop", "restart"):
        answer = await it.root.call("POST", f"/services/{path}", {"service": value})
        assert answer.status == 404 and answer.error
    names = {row["name"] for row in await it.root.services()}
    assert names <= {NAME, "blog"}
    found = (await it.house.services.store.service(NAME)).configuration
    assert all(ord(letter) < 128 for letter in found.model_dump_json())


@pytest.mark.parametrize("name", ["..%2f..%2fx", "%00", "%0a", "a%20b", "%27", "%ff", "x" * 4000, "A", "%E2%80%AE"])
async def test_no_name_in_an_address_does_harm(it: Fronted, name: str) -> None:
    await it.add()
    for method, path in calls():
        if NAME in path:
            body = {"content": "A=1", "permissions": []} if method in ("POST", "PATCH") else None
            answer = await it.root.call(method, path.replace(NAME, name), body)
            assert answer.status == 404 and answer.error, path
    assert [row["name"] for row in await it.root.services()] == [NAME]


def test_the_page_of_the_original_s_api_has_a_row_for_each_call() -> None:
    page = (Path(__file__).parents[2] / "docs/original-api.md").read_text()
    rows = {(method, path) for method, path in re.findall(r"^\| `(\w+) (/\S+)` \|", page, re.MULTILINE)}
    assert rows == {(route.method, route.path) for route in ROUTES if "{api" not in route.path}


async def test_whoever_heard_that_it_serves_may_act_on_it_at_once(it: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is as quick as the commit; o8's own next step may be later."""
    store, goes_on = it.house.services.store, asyncio.Event()
    leave = store.leave

    async def slow(id: int, detail: dict[str, Any], *, has_switched: bool = False) -> None:
        await leave(id, detail, has_switched=has_switched)
        if has_switched:
            await goes_on.wait()

    monkeypatch.setattr(store, "leave", slow)
    await it.deployed()
    removing = asyncio.create_task(it.root.remove(NAME))
    await asyncio.wait({removing}, timeout=0.3)
    goes_on.set()
    assert (await removing).status == 200
