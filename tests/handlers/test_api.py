"""/api/v1 over a real Unix socket."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.models import State, Wanted
from handlers import api, errors
from handlers.api import ROUTES
from handlers.api.routing import bound
from handlers.application import LARGEST_BODY, LARGEST_IMPORT
from handlers.auth import _name_of
from lab.waiting import until
from tests.small_house import House, open_house

pytestmark = pytest.mark.slow

ACTOR = f"cli:{getpass.getuser()}"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


@pytest.fixture
async def running(house: House) -> House:
    """With `web` 0001 live."""
    await house.services.worker.start()
    await house.add()
    await house.deployed()
    return house


async def test_the_kernel_says_who_asks_and_the_audit_keeps_it(house: House) -> None:
    await house.ask("PUT", "/services/web", house.file())
    _, entries = await house.ask("GET", "/audit")
    assert [(e["actor"], e["action"], e["subject"]) for e in entries] == [(ACTOR, "apply", "web")]


async def test_over_tcp_nobody_is_let_in(house: House) -> None:
    application = web.Application(middlewares=[errors.middleware])
    application.add_routes(api.routes(house.services))
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/api/v1/services") as answer:
        assert answer.status == 401
    await runner.cleanup()


async def test_a_service_is_added_changed_shown_and_removed(house: House) -> None:
    status, answer = await house.ask("PUT", "/services/web", house.file(domains=["web.example.org"]))
    assert (status, answer["is_new"], answer["deployment"]) == (200, True, None)
    status, answer = await house.ask("PUT", "/services/web", house.file(replicas=2))
    assert (status, answer["is_new"], answer["service"]["configuration"]["replicas"]) == (200, False, 2)
    assert (await house.ask("GET", "/services/web"))[1] == (await house.ask("GET", "/services"))[1][0]
    assert (await house.ask("DELETE", "/services/web")) == (200, {"name": "web", "is_removed": True})
    assert (await house.ask("GET", "/services"))[1] == []


async def test_the_path_names_the_service_of_the_file(house: House) -> None:
    file = house.file()
    status, problem = await house.ask("PUT", "/services/other", file)
    assert status == 400 and "'web'" in problem["detail"] and "'other'" in problem["detail"]
    del file["name"]
    status, answer = await house.ask("PUT", "/services/other", file)
    assert (status, answer["service"]["name"]) == (200, "other")


async def test_wrong_keys_are_named_with_what_is_expected_in_words(house: House) -> None:
    status, problem = await house.ask("PUT", "/services/web", house.file(image="NoTag", limits={"memory": "lots"}))
    assert (status, problem["code"]) == (400, "invalid_input")
    assert "image = 'NoTag': expected registry/name without a tag, in lower case" in problem["detail"]
    assert "limits.memory = 'lots': expected a size such as `256m` or `2g`" in problem["detail"]
    assert "^" not in problem["detail"]


async def test_an_unknown_service_is_404_with_names_that_come_close(house: House) -> None:
    await house.add()
    status, problem = await house.ask("GET", "/services/wbe")
    assert (status, problem["code"], problem["suggestions"]) == (404, "not_found", ["web"])


async def test_a_deployment_is_asked_for_at_once_and_can_be_followed_to_its_ending(running: House) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    status, asked = await running.ask("POST", "/services/web/deployments", {})
    assert (status, asked["kind"], asked["actor"], asked["state"]) == (202, "deploy", ACTOR, "queued")

    found = await pulling(running, asked["id"])
    assert found["progress"] == {"bytes_done": 5_000_000, "bytes_known": 40_000_000}
    assert [step["state"] for step in found["steps"]] == ["resolving", "pulling"]
    running.engine.may_pull.set()
    assert (await running.ended(asked["id"])).state is State.SUCCEEDED
    _, found = await running.ask("GET", f"/deployments/{asked['id']}")
    assert (found["release"], found["has_ended"], found["progress"]) == ("0002", True, None)
    _, releases = await running.ask("GET", "/services/web/releases")
    assert [r["release"] for r in releases] == ["0002", "0001"]


async def pulling(house: House, id: int) -> Any:
    """The deployment as shown once bytes of its image have come."""

    async def look() -> Any:
        _, found = await house.ask("GET", f"/deployments/{id}")
        return found if found["progress"] and found["progress"]["bytes_done"] else None

    return await until(look)


async def test_rollback_restart_stop_and_start_go_through_the_same_door(running: House) -> None:
    await running.deployed(tag="0002")
    for kind, release in (("rollback", "0001"), ("restart", "0001")):
        status, asked = await running.ask("POST", "/services/web/deployments", {"kind": kind})
        assert (status, asked["kind"]) == (202, kind)
        assert (await running.ended(asked["id"])).release == release
    assert (await running.ask("POST", "/services/web/stop"))[1]["state"] == "stopped"
    assert running.nginx.in_maintenance == {"web"}
    _, asked = await running.ask("POST", "/services/web/deployments", {"kind": "start"})
    await running.ended(asked["id"])
    assert (await running.ask("GET", "/services/web"))[1]["state"] == "live"
    status, problem = await running.ask("POST", "/services/web/deployments", {"kind": "start"})
    assert status == 409 and "not stopped" in problem["detail"]


async def test_only_deploy_and_rollback_take_a_release(running: House) -> None:
    status, problem = await running.ask("POST", "/services/web/deployments", {"kind": "restart", "release": "0001"})
    assert status == 400 and "takes no release" in problem["detail"]


async def test_scaling_deploys_the_change(running: House) -> None:
    status, answer = await running.ask("POST", "/services/web/scale", {"replicas": 3})
    assert (status, answer["deployment"]["kind"]) == (200, "configure")
    await running.ended(answer["deployment"]["id"])
    assert len(await running.engine.observe("web")) == 4  # three, and the stopped one of before


async def test_cancel_ends_what_has_not_switched_and_refuses_what_has(running: House) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    _, asked = await running.ask("POST", "/services/web/deployments", {})
    await pulling(running, asked["id"])
    assert (await running.ask("POST", f"/deployments/{asked['id']}/cancel"))[0] == 200
    assert (await running.ended(asked["id"])).state is State.CANCELLED
    status, problem = await running.ask("POST", "/deployments/1/cancel")
    assert status == 409 and "succeeded" in problem["detail"]


async def test_approve_lets_a_waiting_deployment_run_and_nothing_else(running: House) -> None:
    wish = Wanted(service="web", kind="deploy", actor="delivery:x", tag=running.registry.push("0002") and "0002",
                  needs_approval=True)  # fmt: skip
    waiting = await running.services.worker.want(wish)
    assert waiting.state is State.WAITING
    assert (await running.ask("POST", f"/deployments/{waiting.id}/approve"))[0] == 200
    assert (await running.ended(waiting.id)).state is State.SUCCEEDED
    assert (await running.ask("POST", f"/deployments/{waiting.id}/approve"))[0] == 409


async def test_a_hold_is_set_shown_and_lifted_with_a_look_at_the_tags(running: House) -> None:
    await running.ask("PUT", "/services/web/hold", {"reason": "audit week"})
    _, status = await running.ask("GET", "/status")
    assert (status[0]["hold"]["reason"], status[0]["hold"]["actor"]) == ("audit week", ACTOR)
    running.registry.push("0002")
    status_code, answer = await running.ask("DELETE", "/services/web/hold")
    assert status_code == 200 and "0002" in answer["outcome"]


async def test_a_lock_refuses_deployments_until_it_is_lifted(running: House) -> None:
    _, locked = await running.ask("PUT", "/services/web/lock", {"reason": "exam", "seconds": 3600})
    assert locked["lock"]["reason"] == "exam"
    status, problem = await running.ask("POST", "/services/web/deployments", {})
    assert status == 409 and "exam" in problem["detail"] and "o8 unlock web" in problem["next_step"]
    assert (await running.ask("DELETE", "/services/web/lock"))[1]["lock"] is None
    assert (await running.ask("DELETE", "/services/web/lock"))[0] == 409


async def test_environment_values_are_set_and_removed_in_one_revision(house: House) -> None:
    await house.add()
    await house.ask("PUT", "/services/web/environment", {"content": "# mine\nA=1\nB=2\n"})
    status, answer = await house.ask("PATCH", "/services/web/environment", {"set": {"C": "3"}, "unset": ["A"]})
    assert (status, answer) == (200, {"revision": 2, "deployment": None})
    _, shown = await house.ask("GET", "/services/web/environment?values=1")
    assert (shown["names"], shown["content"], shown["actor"]) == (["B", "C"], "# mine\nB=2\nC=3\n", ACTOR)
    status, _ = await house.ask("PATCH", "/services/web/environment", {"set": {"D": "4"}, "unset": ["A"]})
    assert status == 400  # A is gone, so nothing of it happened
    assert (await house.ask("GET", "/services/web/environment"))[1]["names"] == ["B", "C"]


async def test_reading_values_is_recorded_and_the_record_holds_none(house: House) -> None:
    await house.add()
    await house.ask("PATCH", "/services/web/environment", {"set": {"TOKEN": "canary-value"}})
    await house.ask("GET", "/services/web/environment?values=1")
    _, entries = await house.ask("GET", "/audit")
    assert [e["action"] for e in entries] == ["env read", "env change"]
    assert "canary-value" not in str(entries)


async def test_no_answer_holds_an_environment_value_unless_asked_for(running: House) -> None:
    _, answer = await running.ask("PATCH", "/services/web/environment", {"set": {"TOKEN": "canary-value"}})
    await running.ended(answer["deployment"]["id"])
    running.engine.lines.append(b"my token is canary-value\n")
    bodies = []
    for route in ROUTES:
        if route.method == "GET" and not route.path.endswith(("/events", "/ws")):  # those do not end by themselves
            path = route.path.format(name="web", id=answer["deployment"]["id"], delivery="x")
            async with running.client.get("http://o8/api/v1" + path) as found:
                bodies.append(await found.text())
    assert len(bodies) > 10 and not any("canary-value" in body for body in bodies)
    _, shown = await running.ask("GET", "/services/web/environment?values=1")
    assert "canary-value" in shown["content"]  # the control


async def test_status_says_what_serves_and_what_was_tried_last(running: House) -> None:
    await running.add("idle")
    _, found = await running.ask("GET", "/status")
    idle, web = found
    assert (idle["service"], idle["state"], idle["release"], idle["last_deployment"]) == ("idle", "new", None, None)
    assert (web["state"], web["release"], web["last_deployment"]["state"]) == ("live", "0001", "succeeded")
    assert datetime.fromisoformat(web["since"]).utcoffset() == timedelta()


async def test_deployments_are_listed_in_pages_and_outlive_their_service(running: House) -> None:
    await running.deployed(tag="0002")
    await running.deployed(tag="0003")
    _, newest = await running.ask("GET", "/deployments?limit=2")
    _, older = await running.ask("GET", f"/deployments?limit=2&before={newest[-1]['id']}")
    assert [d["release"] for d in newest + older] == ["0003", "0002", "0001"]
    assert not {"configuration", "log"} & newest[0].keys()
    await running.ask("DELETE", "/services/web")
    assert len((await running.ask("GET", "/deployments?service=web"))[1]) == 3
    assert (await running.ask("GET", "/deployments?service=nobody"))[0] == 404


async def test_doctor_and_audit_answer(house: House) -> None:
    _, findings = await house.ask("GET", "/doctor")
    assert findings and all({"subject", "state", "message", "next_step"} <= f.keys() for f in findings)
    assert await house.ask("GET", "/audit/verification") == (200, {"is_whole": True, "broken_from": None})


async def test_a_log_is_read_to_its_end(running: House) -> None:
    async with running.client.get("http://o8/api/v1/services/web/logs?tail=1") as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "second line\n")


async def test_a_log_that_nobody_has_is_a_problem_and_no_empty_text(house: House) -> None:
    await house.add()
    assert (await house.ask("GET", "/services/web/logs"))[0] == 409
    assert (await house.ask("GET", "/services/nobody/logs"))[0] == 404


async def test_a_log_that_breaks_says_so(running: House) -> None:
    running.engine.log_breaks = True
    async with running.client.get("http://o8/api/v1/services/web/logs") as answer:
        assert (await answer.text()).splitlines()[-1] == "--- The log ends here: Docker ended the log. Look again. ---"


async def test_a_reader_that_does_not_read_costs_no_memory_and_is_let_go(running: House) -> None:
    running.engine.lines = [b"x" * 1000 + b"\n"] * 20_000
    reader, writer = await asyncio.open_unix_connection(str(running.services.settings.socket))
    writer.write(b"GET /api/v1/services/web/logs?tail=20000 HTTP/1.1\r\nHost: o8\r\n\r\n")
    await reader.readexactly(100)
    assert running.engine.open_logs == 1  # most of it is still with the engine
    writer.transport.abort()
    await until(lambda: _is(running.engine.open_logs == 0), within_s=2)


async def test_unknown_routes_and_methods_are_problems_too(house: House) -> None:
    status, problem = await house.ask("GET", "/nothing")
    assert (status, problem["status"]) == (404, 404)
    status, problem = await house.ask("DELETE", "/services")
    assert (status, problem["status"]) == (405, 405)


async def test_a_body_over_the_limit_is_refused(house: House) -> None:
    """That of the socket is larger, for an import; over TCP: test_auth.py."""
    await house.add()
    for size, expected in ((LARGEST_BODY, 400), (LARGEST_IMPORT, 413)):
        status, problem = await house.ask("PUT", "/services/web/environment", {"content": "#" * size})
        assert (status, problem["status"]) == (expected, expected)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"a": NaN}', b'"x"', b"[" * 100_000])
async def test_what_is_no_json_object_is_400(house: House, body: bytes) -> None:
    await house.add()
    async with house.client.post("http://o8/api/v1/services/web/deployments", data=body) as answer:
        assert answer.status == 400


async def test_every_route_has_its_help_and_is_bound_under_the_prefix(house: House) -> None:
    assert all(route.handler.__doc__ for route in ROUTES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    assert all(bound(route, house.services).path == "/api/v1" + route.path for route in ROUTES)


async def test_the_peer_is_named_by_number_when_the_machine_has_no_name_for_it() -> None:
    assert _name_of(4_000_000_001) == "4000000001"


async def _is(fact: bool) -> bool:
    return fact
