"""NGINX_SOCKET: root's unit tests and reloads the machine's nginx; whatever it does, o8 has a clear answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.errors import ForeignBreakage, NginxError
from bot.nginx import program
from lab.backends import Backend
from lab.root_socket import root_socket
from tests.nginx.conftest import Front

pytestmark = pytest.mark.parts


@asynccontextmanager
async def asking(front: Front, home: Path) -> AsyncIterator[Front]:
    """`front` by way of the socket; its commands would fail."""
    assert front.system is not None
    command = front.system.command
    programs = {
        "nginx": f'exec {command} "$@"',
        "systemctl": f'[ "$*" = "reload nginx" ] || exit 1; exec {command} -s reload',
    }
    async with root_socket(home, programs) as path:
        yield front.as_set(nginx_socket=path, nginx_test_command="false", nginx_reload_command="false")


async def test_a_site_goes_live_by_it(system: Front, backends: list[Backend], tmp_path: Path) -> None:
    async with asking(system, tmp_path / "root") as front:
        await front.nginx.start()
        assert await front.publish({"a": [backends[0]], "b": [backends[1]]})
        assert (await front.ask("web.test")).status == 200
        facts = await front.nginx.facts()
        assert (facts.test_output, facts.is_included, facts.worker_shutdown_timeout) == ("ok", True, "30s")
        assert facts.generation is not None


async def test_somebody_elses_broken_file_is_named(system: Front, backends: list[Backend], tmp_path: Path) -> None:
    assert system.system is not None
    async with asking(system, tmp_path / "root") as front:
        await front.nginx.start()
        (system.system.others / "broken.conf").write_text("server { nonsense; }\n")
        with pytest.raises(ForeignBreakage, match=r"broken\.conf, line 1"):
            await front.publish({"a": [backends[0]], "b": [backends[1]]})


@pytest.mark.parametrize("word", ["test; id", "$(id)", "`id`", "../test", "", "reload nginx", "-t", "TEST"])
async def test_it_knows_three_words_and_runs_nothing_else(tmp_path: Path, word: str) -> None:
    tell = f"echo ran >> {tmp_path}/ran"
    async with root_socket(tmp_path / "root", {"nginx": tell, "systemctl": tell, "id": tell}) as path:
        outcome = await program.ask(path, word)
        assert outcome == (1, "test, dump or reload\n")
        assert (await program.ask(path, "test")).code == 0
    assert (tmp_path / "ran").read_text() == "ran\n"  # the control: what it does run is seen


async def test_a_reload_that_fails_is_an_error_with_its_reason(
    system: Front, backends: list[Backend], tmp_path: Path
) -> None:
    async with root_socket(tmp_path / "root", {"nginx": "", "systemctl": "echo no such unit >&2; exit 5"}) as path:
        with pytest.raises(NginxError, match="nginx was not reloaded: no such unit"):
            await system.as_set(nginx_socket=path).publish({"a": [backends[0]], "b": [backends[1]]})


@pytest.mark.parametrize("answer", [b"", b"nginx: ok\n", b"status x\n"])
async def test_an_answer_that_breaks_off_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "s"):
        with pytest.raises(NginxError, match=r"broke off|cannot be asked"):
            await program.ask(tmp_path / "s", "test")


async def test_no_answer_is_an_error_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LIMIT_S", 0.2)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, tmp_path / "s"):
        with pytest.raises(NginxError, match="did not answer `test`"):
            await program.ask(tmp_path / "s", "test")


async def test_where_nobody_listens_it_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(NginxError, match=r"orchestr8-nginx\.socket"):
        await program.ask(tmp_path / "nobody", "test")
