"""`o8` as a process: at a terminal, interrupted, and as the server itself."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from lab.ports import free_port
from lab.waiting import until
from tests.cli.conftest import start_o8
from tests.small_house import House

pytestmark = pytest.mark.slow


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of one: ours to read, and the command's stdout."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    yield ours, theirs
    for end in (ours, theirs):
        os.close(end)


async def read_until(terminal: int, wanted: str) -> str:
    """What the terminal got, up to `wanted`."""
    got = bytearray()

    async def look() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(terminal, 1_000_000))
        return wanted.encode() in got

    await until(look, within_s=20)
    return got.decode(errors="replace")


async def test_a_terminal_sees_the_steps_and_the_bytes_of_the_pull(running: House, terminal: tuple[int, int]) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    process = await start_o8("deploy", "web", folder=running.folder, stdout=terminal[1])
    text = await read_until(terminal[0], "5.0 MB of 40.0 MB")
    running.engine.may_pull.set()
    text += await read_until(terminal[0], "web 0002 is live")
    assert await process.wait() == 0
    assert all(step in text for step in ("resolving", "pulling", "starting", "checking", "switching"))


async def test_a_log_cannot_steer_the_terminal(running: House, terminal: tuple[int, int]) -> None:
    running.engine.lines = [b"\x1b]0;owned\x07\x1b[2J\xc2\x9b31m\r\xe2\x80\xaetxt\n"]
    process = await start_o8("logs", "web", folder=running.folder, stdout=terminal[1])
    assert await process.wait() == 0
    assert (await read_until(terminal[0], "\n")).strip() == r"\x1b]0;owned\x07\x1b[2J\x9b31m\x0d\u202etxt"


async def test_into_a_pipe_a_log_goes_as_it_is(running: House) -> None:
    running.engine.lines = [b"\x1b[31mred\x1b[0m\n"]
    process = await start_o8("logs", "web", folder=running.folder)
    assert (await process.communicate())[0] == b"\x1b[31mred\x1b[0m\n"


async def test_an_interrupt_while_waiting_leaves_the_deployment_running_and_says_so(running: House) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    process = await start_o8("deploy", "web", folder=running.folder)
    assert process.stdout is not None
    while b"pulling" not in await process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130
    assert b"goes on: `o8 deployments 2` shows it, `o8 cancel 2` ends it." in errors and b"Traceback" not in errors
    running.engine.may_pull.set()
    assert (await running.ended(2)).state == "succeeded"


async def test_a_restart_of_o8_is_waited_for(running: House) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    process = await start_o8("deploy", "web", folder=running.folder)
    assert process.stdout is not None
    while b"pulling" not in await process.stdout.readline():
        pass
    await running.close_door()
    gone = await start_o8("status", folder=running.folder)
    assert await gone.wait() == 5  # the control: others see that nobody answers
    assert process.returncode is None
    await running.open_door()
    running.engine.may_pull.set()
    output, _ = await process.communicate()
    assert process.returncode == 0 and b"web 0002 is live" in output


async def test_an_interrupt_ends_a_followed_log_quietly(running: House) -> None:
    process = await start_o8("logs", "web", "-f", folder=running.folder)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"first line\n"
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130 and b"Traceback" not in errors


async def test_without_o8_the_answer_is_5_and_how_to_start_it(tmp_path: Path) -> None:
    process = await start_o8("status", folder=tmp_path)
    _, errors = await process.communicate()
    assert process.returncode == 5
    assert b"o8 is not running" in errors and b"`o8 serve` starts it" in errors


async def test_the_folder_may_stand_in_a_dotenv_file(running: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".env").write_text(f"O8_DATA_DIR={running.folder}\n")
    process = await start_o8("status", folder=elsewhere, environ={"O8_DATA_DIR": ""})
    output, _ = await process.communicate()
    assert process.returncode == 0 and b"0001" in output


async def test_serve_answers_says_what_it_is_and_ends_at_a_signal(tmp_path: Path) -> None:
    # Neither Docker nor nginx: o8 takes webhooks all the same, and goes on trying.
    port = free_port()
    settings = {"PORT": str(port), "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "NGINX_MODE": "embedded",
                "NGINX_BINARY": f"{tmp_path}/none"}  # fmt: skip
    process = await start_o8(folder=tmp_path, environ=settings)
    assert process.stderr is not None
    said = [await process.stderr.readline(), await process.stderr.readline()]
    while b"webhook endpoint is off: GITHUB_WEBHOOK_SECRET is not set" not in said[-1]:
        said.append(await process.stderr.readline())
    assert any(f"127.0.0.1:{port}, data in {tmp_path}".encode() in line for line in said)
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.status == 200
    assert await (await start_o8("status", folder=tmp_path)).wait() == 0
    second = await start_o8("serve", folder=tmp_path, environ=settings)
    assert b"Another o8 is running" in (await second.communicate())[1] and second.returncode == 4
    process.terminate()
    _, rest = await process.communicate()
    assert process.returncode == 0 and b"Traceback" not in rest
    assert await (await start_o8("status", folder=tmp_path)).wait() == 5


async def test_serve_tells_every_wrong_setting_at_once(tmp_path: Path) -> None:
    wrong = {"PORT": "many", "O8_PLACES": "0", "NGINX_MODE": "apache"}
    process = await start_o8("serve", folder=tmp_path, environ=wrong)
    _, errors = await process.communicate()
    assert process.returncode == 2
    for problem in (b"PORT = 'many': expected a whole number", b"O8_PLACES = '0': expected 1 or more", b"NGINX_MODE"):
        assert problem in errors


async def test_serve_says_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await start_o8("serve", folder=tmp_path, environ={"PORT": str(port)})
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}".encode() in errors and b"Traceback" not in errors
