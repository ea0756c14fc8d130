"""The switch, the publishing and every way it can fail, against a real nginx in both ways of running it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from bot.errors import ForeignBreakage, InvalidInput, NginxError, NotLive
from bot.models import Slot
from bot.nginx import Nginx
from bot.nginx.files import Folder
from bot.settings import Settings
from lab.backends import Backend
from lab.ports import free_port
from lab.system_nginx import SystemNginx, system_nginx
from lab.waiting import until
from tests.nginx.conftest import Front

pytestmark = pytest.mark.parts
Backends = tuple[Backend, Backend]
Slots = dict[Slot, list[Backend]]


# -- the switch


async def test_a_new_site_serves_slot_a_until_it_is_pointed_to_b(front: Front, backends: Backends) -> None:
    assert await front.publish({"a": [backends[0]], "b": [backends[1]]})
    assert front.nginx.serving("web") == "a"
    assert (await front.ask("web.test")).json["name"] == "one"
    await front.nginx.point("web", "b")
    await front.nginx.point("web", "b")
    assert front.nginx.serving("web") == "b"
    assert (await front.ask("web.test")).json["name"] == "two"
    await front.nginx.point("web", "a")
    assert (await front.ask("web.test")).json["name"] == "one"


async def test_switching_under_keep_alive_load_loses_no_request(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})

    async def switch() -> None:
        await embedded.nginx.point("web", "a" if embedded.nginx.serving("web") == "b" else "b")

    answered, lost, names = await load(embedded.port, switch)
    assert lost == 0
    assert answered > 500
    assert names == {"one", "two"}


async def test_the_same_load_does_see_what_a_reload_loses(embedded: Front, backends: Backends) -> None:
    """The control of the test above."""
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})

    async def reload() -> None:
        os.kill(embedded.pid(), signal.SIGHUP)

    assert (await load(embedded.port, reload))[1] > 0


async def test_the_switch_survives_a_restart_of_nginx(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    await embedded.nginx.point("web", "b")
    await embedded.nginx.shut_down()
    await Nginx(embedded.settings).start()
    assert (await embedded.ask("web.test")).json["name"] == "two"


async def test_an_open_websocket_outlives_the_switch(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    url = f"http://127.0.0.1:{embedded.port}/ws"
    async with embedded.client.ws_connect(url, headers={"Host": "web.test"}) as websocket:
        await embedded.nginx.point("web", "b")
        await websocket.send_str("still here")
        assert await websocket.receive_str() == "one: still here"


async def test_maintenance_answers_503_with_a_page_and_ends_without_a_reload(front: Front, backends: Backends) -> None:
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    before = front.reloads()
    await front.nginx.maintenance("web", True)
    for method in ("GET", "POST"):
        closed = await front.ask("web.test", "/any/path", method=method)
        assert (closed.status, closed.headers["retry-after"]) == (503, "10")
        assert "Back soon" in closed.text
    await front.nginx.maintenance("web", False)
    assert (await front.ask("web.test")).status == 200
    assert front.reloads() == before


# -- publishing


async def test_what_is_live_already_is_not_reloaded(front: Front, backends: Backends) -> None:
    slots: Slots = {"a": [backends[0]], "b": [backends[1]]}
    assert await front.publish(slots) is True
    before = front.reloads()
    assert await front.publish(slots) is False
    assert front.reloads() == before


async def test_reloads_are_counted_as_nginx_itself_saw_them(front: Front, backends: Backends) -> None:
    seen, counted = front.reloads(), front.nginx.reloads
    for turn in range(3):
        await front.publish({"a": [backends[turn % 2]], "b": [backends[turn % 2]]})
    assert front.nginx.reloads - counted == front.reloads() - seen == 3


async def test_publish_returns_when_every_fresh_connection_gets_the_new_text(front: Front, backends: Backends) -> None:
    one, two = backends
    for turn in range(4):
        here = (one, two)[turn % 2]
        await front.publish({"a": [here], "b": [here]})
        answers = [await front.ask("web.test") for _ in range(10)]
        assert {answer.json["name"] for answer in answers} == {here.name}


async def test_publish_waits_for_an_old_worker_that_has_not_noticed_yet(front: Front, backends: Backends) -> None:
    """A busy machine does that; here it is stopped. Continued, it would first take what waits at the port."""
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    old = min(await front.nginx._probe.workers())
    os.kill(old, signal.SIGSTOP)
    publishing = asyncio.create_task(front.publish({"a": [backends[1]], "b": [backends[1]]}))
    try:
        assert not (await asyncio.wait([publishing], timeout=0.7))[0]
    finally:
        os.kill(old, signal.SIGCONT)
    assert await publishing


async def test_a_withdrawn_site_is_gone_with_its_flags(front: Front, backends: Backends) -> None:
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    await front.nginx.point("web", "b")
    await front.nginx.maintenance("web", True)
    assert front.nginx.sites() == {"web"}
    await front.nginx.withdraw("web")
    await front.nginx.withdraw("web")
    assert front.nginx.sites() == frozenset()
    assert front.nginx.site("web") is None
    assert front.nginx.serving("web") == "a"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await front.ask("web.test")


async def test_sites_published_at_once_share_their_reloads(embedded: Front, backends: Backends) -> None:
    before = embedded.reloads()
    await asyncio.gather(*(_publish(embedded, backends, f"s{number}") for number in range(8)))
    assert embedded.reloads() - before <= 2
    for number in range(8):
        assert (await embedded.ask(f"s{number}.test")).status == 200


async def test_one_bad_site_does_not_hinder_those_beside_it(embedded: Front, backends: Backends) -> None:
    bad = embedded.nginx.publish("bad", "# Written by o8\nnonsense;\n")
    results = await asyncio.gather(
        _publish(embedded, backends, "s1"), bad, _publish(embedded, backends, "s2"), return_exceptions=True
    )
    assert (results[0], results[2]) == (True, True)
    assert isinstance(results[1], NginxError)
    assert embedded.nginx.sites() == {"s1", "s2"}
    assert (await embedded.ask("s2.test")).status == 200


async def test_the_last_of_two_texts_for_one_site_is_what_stays(embedded: Front, backends: Backends) -> None:
    one, two = backends
    changes = [embedded.publish({"a": [b], "b": [b]}) for b in (one, two, one, two)]
    assert await asyncio.gather(*changes) == [True] * 4
    assert (await embedded.ask("web.test")).json["name"] == "two"


async def test_a_publish_goes_on_when_its_caller_is_cancelled(embedded: Front, backends: Backends) -> None:
    task = asyncio.create_task(embedded.publish({"a": [backends[0]], "b": [backends[1]]}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def is_live() -> bool:
        try:
            return (await embedded.ask("web.test")).status == 200
        except aiohttp.ServerDisconnectedError:
            return False

    assert await until(is_live)


# -- what goes wrong


async def test_a_text_that_nginx_refuses_changes_nothing(front: Front, backends: Backends) -> None:
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    good = front.nginx.site("web")
    before = front.reloads()
    with pytest.raises(NginxError, match=r'unknown directive "nonsense" \(.*/web\.conf:2\)'):
        await front.nginx.publish("web", "# Written by o8\nnonsense;\n")
    assert front.nginx.site("web") == good
    assert front.reloads() == before
    assert (await front.ask("web.test")).json["name"] == "one"


async def test_what_only_the_whole_configuration_shows_is_put_back(
    front: Front, backends: Backends, tmp_path: Path
) -> None:
    """A broken snippet: it is outside our files, so that the test of a copy says nothing about it."""
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    good, before = front.nginx.site("web"), front.reloads()
    (tmp_path / "snippet.conf").write_text("limit_req zone=nowhere;\nrubbish;\n")
    broken = front.as_set(nginx_snippet=str(tmp_path / "snippet.conf"))
    with pytest.raises(NginxError, match=r"snippet\.conf:2"):
        await broken.publish({"a": [backends[0]], "b": [backends[1]]}, site={"tls": "snippet"})
    assert front.nginx.site("web") == good
    assert front.reloads() == before
    assert (await front.ask("web.test")).json["name"] == "one"


async def test_a_foreign_breakage_is_named_and_left_alone(system: Front, backends: Backends) -> None:
    assert system.system
    other = system.system.others / "other.conf"
    other.write_text(other.read_text() + "\nbroken_by_somebody;\n")
    text = other.read_text()
    with pytest.raises(ForeignBreakage) as raised:
        await system.publish({"a": [backends[0]], "b": [backends[1]]})
    assert str(other) in raised.value.message
    assert "line 3" in raised.value.message
    assert 'unknown directive "broken_by_somebody"' in raised.value.message
    assert other.read_text() == text
    assert system.nginx.sites() == frozenset()
    other.write_text(text.replace("broken_by_somebody;", ""))
    assert await system.publish({"a": [backends[0]], "b": [backends[1]]})


async def test_a_taken_port_is_not_live_and_the_old_text_still_serves(
    front: Front, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nginx -t` and the reload both return 0 here."""
    if front.system:
        monkeypatch.setattr("bot.nginx.probe.CONFIRM_S", 1.0)  # only the embedded one has a log we may read
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    good = front.nginx.site("web")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotLive, match="still serves the old" if front.system else "Address already in use"):
            await front.publish({"a": [backends[1]], "b": [backends[1]]}, host_port=f"127.0.0.1:{port}")
        assert front.nginx.site("web") == good
        assert (await front.ask("web.test")).json["name"] == "one"
    monkeypatch.undo()
    assert await front.publish({"a": [backends[1]], "b": [backends[1]]}, host_port=f"127.0.0.1:{port}")
    assert (await front.ask("anything", port=port)).json["name"] == "two"


async def test_a_reload_command_that_fails_puts_the_files_back(system: Front, backends: Backends) -> None:
    broken = system.as_set(nginx_reload_command="/bin/false")
    with pytest.raises(NginxError, match="`/bin/false` failed"):
        await broken.publish({"a": [backends[0]], "b": [backends[1]]})
    assert system.nginx.sites() == frozenset()


async def test_a_test_command_that_hangs_is_ended(
    system: Front, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.nginx.program.LIMIT_S", 0.3)
    with pytest.raises(NginxError, match="did not end within"):
        await system.as_set(nginx_test_command="sleep 60").publish({"a": [backends[0]], "b": [backends[1]]})


async def test_a_folder_that_nginx_does_not_include_is_told(
    administered: SystemNginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.nginx.probe.CONFIRM_S", 0.5)
    values = administered.settings() | {"nginx_managed_dir": tmp_path / "elsewhere", "o8_data_dir": tmp_path}
    nginx = Nginx(Settings(**values))
    with pytest.raises(NotLive, match="include"):
        await nginx.start()
    assert not (await nginx.facts()).is_included


async def test_a_file_of_somebody_else_is_never_overwritten(system: Front, backends: Backends) -> None:
    assert system.system
    theirs = system.system.managed / "web.conf"
    theirs.write_text("# hand made\n")
    with pytest.raises(NginxError, match="not written by o8"):
        await system.publish({"a": [backends[0]], "b": [backends[1]]})
    await system.nginx.withdraw("web")
    assert theirs.read_text() == "# hand made\n"
    assert system.nginx.sites() == frozenset()


async def test_a_domain_that_another_site_has_is_refused(front: Front, backends: Backends) -> None:
    slots: Slots = {"a": [backends[0]], "b": [backends[1]]}
    await front.publish(slots)
    with pytest.raises(NginxError, match=r"already answers to web\.test"):
        await front.publish(slots, name="thief", domains=["web.test"])
    assert front.nginx.sites() == {"web"}


async def test_a_domain_of_a_foreign_site_is_refused(system: Front, backends: Backends) -> None:
    with pytest.raises(NginxError, match=r"already answers to other\.test"):
        await system.publish({"a": [backends[0]], "b": [backends[1]]}, domains=["other.test"])
    assert (await system.ask("other.test")).text == "other"


@pytest.mark.parametrize("name", ["../web", "web/../x", "", "Web", "web.b", "_o8", "web\n"])
async def test_no_path_is_made_of_what_is_no_service_name(settings: Settings, name: str) -> None:
    nginx = Nginx(settings)
    for act in (nginx.point(name, "b"), nginx.maintenance(name, True), nginx.publish(name, ""), nginx.withdraw(name)):
        with pytest.raises(InvalidInput):
            await act
    with pytest.raises(InvalidInput):
        nginx.site(name)


async def test_a_missing_nginx_is_told_with_what_to_do(settings: Settings) -> None:
    nginx = Nginx(settings.model_copy(update={"nginx_binary": "no-such-nginx"}))
    with pytest.raises(NginxError, match="apt-get install"):
        await nginx.start()
    facts = await nginx.facts()
    assert (facts.is_running, facts.version) == (False, "")
    assert "was not found" in facts.test_output


# -- starting


async def test_a_running_nginx_is_adopted_without_a_reload(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    pid, before = embedded.pid(), embedded.reloads()
    again = Nginx(embedded.settings)
    await again.start()
    assert (embedded.pid(), embedded.reloads()) == (pid, before)
    assert again.sites() == {"web"}


async def test_files_swapped_just_before_a_kill_are_loaded_at_the_next_start(front: Front, backends: Backends) -> None:
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    text = front.text({"a": [backends[1]], "b": [backends[1]]})
    shared = (front.home / ("managed" if front.system else "sites") / "_o8.conf").read_text()
    generation = str((await front.nginx.facts()).generation)
    folder = Folder(front.home / ("managed" if front.system else "sites"))
    folder.swap({"web.conf": text, "_o8.conf": shared.replace(generation, generation + "1")})
    assert (await front.ask("web.test")).json["name"] == "one"
    await Nginx(front.settings).start()
    assert (await front.ask("web.test")).json["name"] == "two"


async def test_a_master_that_was_killed_is_replaced_though_its_workers_hold_the_port(
    embedded: Front, backends: Backends
) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    killed = embedded.pid()
    os.kill(killed, signal.SIGKILL)

    async def has_ended() -> bool:
        return not Path(f"/proc/{killed}/cmdline").exists() or not Path(f"/proc/{killed}/cmdline").read_bytes()

    await until(has_ended)
    assert (await embedded.ask("web.test")).status == 200  # by the orphans
    assert await embedded.publish({"a": [backends[1]], "b": [backends[1]]})
    assert embedded.pid() != killed
    assert (await embedded.ask("web.test")).json["name"] == "two"


async def test_an_nginx_that_ended_is_revived_once(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    assert await embedded.nginx.revive() is False
    await embedded.nginx.shut_down()
    assert await embedded.nginx.revive() is True
    assert (await embedded.ask("web.test")).json["name"] == "one"
    assert await embedded.nginx.revive() is False


async def test_a_process_that_only_has_the_number_of_the_pid_file_is_left_alone(settings: Settings) -> None:
    nginx = Nginx(settings)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (settings.o8_data_dir / "nginx").mkdir(parents=True)
        (settings.o8_data_dir / "nginx/nginx.pid").write_text(str(stranger.pid))
        await nginx.start()
        assert stranger.poll() is None
        stranger.kill()
    await nginx.shut_down()


async def test_another_port_in_the_settings_moves_the_running_nginx(embedded: Front, backends: Backends) -> None:
    await embedded.publish({"a": [backends[0]], "b": [backends[1]]})
    pid = embedded.pid()
    moved = embedded.as_set(nginx_http_port=free_port())
    await moved.nginx.start()
    await moved.publish({"a": [backends[0]], "b": [backends[1]]})
    assert moved.pid() == pid
    assert (await moved.ask("web.test")).status == 200


async def test_what_a_kill_left_half_written_is_cleared_away(settings: Settings) -> None:
    nginx = Nginx(settings)
    left = settings.o8_data_dir / "nginx/sites/.o8-abcdef"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    await nginx.start()
    await nginx.shut_down()
    assert not left.exists()


async def test_a_start_with_the_port_taken_says_so(settings: Settings) -> None:
    nginx = Nginx(settings)
    taken = socket.create_server(("127.0.0.1", settings.nginx_http_port))
    with taken, pytest.raises(NginxError, match="Address already in use") as raised:
        await nginx.start()
    assert "NGINX_HTTP_PORT" in raised.value.next_step
    await nginx.start()
    await nginx.shut_down()


async def test_a_default_site_of_the_administrator_stays_the_default(
    administered: SystemNginx, tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    text = f"server {{ listen 127.0.0.1:{administered.http_port} default_server; return 200 theirs; }}"
    (administered.others / "default.conf").write_text(text)
    front = Front(Settings(o8_data_dir=tmp_path, **administered.settings()), client, administered)
    await front.nginx.start()
    assert (await front.ask("unknown.test")).text == "theirs"
    before = front.reloads()
    await Nginx(front.settings).start()
    assert front.reloads() == before


def test_a_folder_that_is_set_up_means_the_system_nginx(settings: Settings, tmp_path: Path) -> None:
    auto = settings.model_copy(update={"nginx_mode": "auto", "nginx_managed_dir": tmp_path / "managed"})
    assert Nginx(auto).mode == "embedded"
    (tmp_path / "managed").mkdir()
    assert Nginx(auto).mode == "system"


async def test_secrets_of_o8_do_not_live_on_in_the_environment_of_nginx(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_PAT", "canary-value")
    nginx = Nginx(settings)
    await nginx.start()
    pid = (settings.o8_data_dir / "nginx/nginx.pid").read_text().strip()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    await nginx.shut_down()
    assert b"canary-value" not in environment


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(any(not p.stat().st_mode & 1 for p in Path(__file__).parents), reason="closed to everybody else")
def test_everything_works_for_a_user_who_is_not_root(tmp_path: Path) -> None:
    data = tmp_path / "nobody"
    data.mkdir()
    data.chmod(0o700)
    os.chown(data, 65534, 65534)
    script = _AS_NOBODY.format(data=data, port=free_port())
    open_to_others(tmp_path)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=root, env={"PATH": os.environ["PATH"], "HOME": str(data)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "yes"], done.stderr


# Becomes nobody after the imports: root's Python may be closed to others.
_AS_NOBODY = """
import asyncio, concurrent.futures.thread, os
from bot.configuration import read
from bot.models import Address
from bot.models import Slot
from bot.nginx import Nginx
from bot.settings import Settings
async def main():
    values = dict(nginx_mode="embedded", nginx_listen="127.0.0.1", nginx_http_port={port})
    nginx = Nginx(Settings(o8_data_dir="{data}", **values))
    await nginx.start()
    try:
        web = read(dict(name="web", image="ghcr.io/acme/web", port=80, domains=["web.test"]))
        there = [Address("127.0.0.1", 9)]
        print(await nginx.publish("web", nginx.render(web, dict(a=there, b=there))))
        print("yes" if (await nginx.facts()).can_stat_slots else "no")
    finally:
        await nginx.shut_down()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
asyncio.run(main())
"""


# -- what doctor asks


async def test_the_facts_are_those_of_the_running_nginx(front: Front, backends: Backends) -> None:
    before = (await front.nginx.facts()).generation
    await front.publish({"a": [backends[0]], "b": [backends[1]]})
    facts = await front.nginx.facts()
    assert (facts.mode, facts.is_running, facts.is_included) == (front.nginx.mode, True, True)
    assert await front.nginx.is_answering()
    assert (facts.test_output, facts.can_stat_slots) == ("ok", True)
    assert facts.version.count(".") == 2
    assert facts.worker_shutdown_timeout == ("30s" if front.system else "10m")
    assert before
    assert facts.generation
    assert facts.generation > before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have workers of another user")
async def test_workers_that_cannot_see_the_flags_are_found_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with system_nginx(tmp_path / "system", user="daemon") as administered:
        nginx = Nginx(Settings(o8_data_dir=tmp_path, **administered.settings()))
        await nginx.start()
        facts = await nginx.facts()
        assert (facts.is_running, facts.can_stat_slots) == (True, False)
        open_to_others(tmp_path)
        assert (await nginx.facts()).can_stat_slots


async def test_facts_tell_a_foreign_breakage_and_a_stopped_nginx(system: Front) -> None:
    assert system.system
    (system.system.others / "bad.conf").write_text("rubbish;")
    assert "rubbish" in (await system.nginx.facts()).test_output
    system.system.stop()
    facts = await system.nginx.facts()
    assert (facts.is_running, facts.generation) == (False, None)
    assert not await system.nginx.is_answering()


async def test_only_this_machine_may_ask_for_the_generation(embedded: Front) -> None:
    answer = await embedded.ask("o8-generation.invalid", "/x")
    assert answer.status == 404
    text = (embedded.home / "sites/_o8.conf").read_text()
    assert "deny all;" in text


async def test_logs_that_have_grown_are_moved_aside(
    embedded: Front, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.nginx.embedded.MAX_LOG_BYTES", 10)
    slots: Slots = {"a": [backends[0]], "b": [backends[1]]}
    await embedded.publish(slots)
    assert (embedded.home / "error.log.1").stat().st_size > 10

    async def is_opened_anew() -> bool:
        return (embedded.home / "error.log").exists()

    await until(is_opened_anew)
    assert (await embedded.ask("web.test")).status == 200


async def _publish(front: Front, backends: Backends, name: str) -> bool:
    return await front.publish({"a": [backends[0]], "b": [backends[1]]}, name=name, domains=[f"{name}.test"])


def open_to_others(folder: Path) -> None:
    """pytest closes its folders, of which there is one more when tests run side by side."""
    for closed in (folder, *folder.parents):
        if closed == Path(tempfile.gettempdir()):
            return
        closed.chmod(0o711)


async def load(port: int, disturb: Callable[[], Awaitable[None]]) -> tuple[int, int, set[str]]:
    """Requests answered and lost, and who answered, on 16 keep-alive connections while `disturb` is done 20 times."""
    answered, lost, names, is_over = 0, 0, set[str](), False

    async def visit(method: bytes) -> None:
        nonlocal answered, lost
        while not is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while not is_over:
                    writer.write(method + b" / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi")
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    body = await reader.readexactly(length)
                    assert head.startswith(b"HTTP/1.1 200"), head
                    names.add("one" if b'"one"' in body else "two")
                    answered += 1
                    await asyncio.sleep(0)
            except (OSError, asyncio.IncompleteReadError):
                lost += 1
            finally:
                writer.close()

    visitors = [asyncio.create_task(visit(b"POST" if number % 2 else b"GET")) for number in range(16)]
    for _ in range(20):
        await asyncio.sleep(0.08)
        await disturb()
    is_over = True
    await asyncio.gather(*visitors)
    return answered, lost, names
