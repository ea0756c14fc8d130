"""`o8 init`: what it writes, what it leaves alone, and that what it wrote runs."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import orjson
import pytest
from click.testing import CliRunner, Result

from bot import environment, installation
from bot.cli import Session
from bot.cli import o8 as command
from bot.installation import Choices, settings_text
from bot.settings import load
from lab.ports import free_port
from lab.waiting import until
from tests.cli.conftest import REPOSITORY
from tests.cli.conftest import environment as cli_environment

TOKEN = "ghp_canary0123456789"
SYSTEM = {
    "etc/orchestr8/.env", "etc/systemd/system/orchestr8.service", "etc/systemd/system/orchestr8-nginx.socket",
    "etc/systemd/system/orchestr8-nginx@.service", "etc/nginx/conf.d/orchestr8.conf", "usr/local/bin/o8",
}  # fmt: skip


def init(root: Path, *arguments: str, input: str | None = None, code: int = 0) -> Result:
    session = Session(lambda environ, is_verbose: None)
    line = ["init", "--root", str(root), *arguments]
    result = CliRunner().invoke(command, line, obj=session, input=input, prog_name="o8")
    assert result.exit_code == code, result.output
    return result


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def settings(root: Path) -> dict[str, str]:
    return environment.parse((root / "etc/orchestr8/.env").read_text())


def test_everything_for_the_machines_nginx_is_there_and_its_settings_are_good(tmp_path: Path) -> None:
    told = init(tmp_path, "--nginx", "system", "--base-domain", "example.org", "--registry-user", "acme",
                "--token-stdin", input=f"{TOKEN}\n").output  # fmt: skip
    assert set(files(tmp_path)) == SYSTEM
    found = load(settings(tmp_path), tmp_path / "none")
    assert found.base_domain == "example.org" and found.registry_password == TOKEN
    assert len(found.webhook_secrets[0]) == 64
    assert (found.nginx_mode, str(found.nginx_socket)) == ("system", installation.SOCKET)
    assert TOKEN not in told
    secret = settings(tmp_path)["GITHUB_WEBHOOK_SECRET"]
    webhook = f"https://o8.example.org/webhooks/github, content type application/json, secret {secret}"
    assert webhook in " ".join(told.split())
    for step in ("apt-get install docker.io", "systemctl enable --now", "o8 doctor", "o8 service apply", "slack.md"):
        assert step in told
    modes = {path: (tmp_path / path).stat().st_mode & 0o7777
             for path in ("etc/orchestr8", "etc/orchestr8/.env", "var/lib/orchestr8")}  # fmt: skip
    assert list(modes.values()) == [0o750, 0o640, 0o700]


def test_for_an_nginx_of_o8s_own_nothing_of_the_machines_nginx_is_touched(tmp_path: Path) -> None:
    told = init(tmp_path, "--nginx", "embedded").output
    assert set(files(tmp_path)) == {path for path in SYSTEM if "nginx" not in path}
    assert "NGINX_SOCKET" not in settings(tmp_path) and "disable --now nginx" in told


def test_the_machines_nginx_is_taken_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    init(tmp_path, "--dry-run")
    assert set(files(tmp_path)) == set()
    (tmp_path / "usr/sbin/nginx").touch()
    assert "orchestr8-nginx.socket" in init(tmp_path).output
    assert settings(tmp_path)["NGINX_MODE"] == "system"


def test_a_host_is_where_github_finds_o8_and_stays_known(tmp_path: Path) -> None:
    told = init(tmp_path, "--nginx", "system", "--host", "deploy.example.org").output
    assert settings(tmp_path)["PUBLIC_URL"] == "https://deploy.example.org"
    assert "The webhook: sudo -u orchestr8 o8 github setup OWNER" in " ".join(told.split())
    again = " ".join(init(tmp_path).output.split())
    assert "DIFFERS" not in again and "https://deploy.example.org/webhooks/github" in again


@pytest.mark.parametrize("host", ["https://o8.example.org", "o8 example", "o8.example.org/ui", "ö8.example.org"])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    assert "PUBLIC_URL" in init(tmp_path, f"--host={host}", code=2).output
    assert "BASE_DOMAIN" in init(tmp_path, f"--base-domain={host}", code=2).output
    assert list(tmp_path.iterdir()) == []


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    init(tmp_path, "--nginx", "system", "--base-domain", "example.org")
    before = files(tmp_path)
    told = init(tmp_path).output
    assert files(tmp_path) == before
    assert "made" not in told and "DIFFERS" not in told
    assert settings(tmp_path)["GITHUB_WEBHOOK_SECRET"] not in told  # it was told when it was made


def test_what_differs_is_shown_and_left_alone_until_it_is_forced(tmp_path: Path) -> None:
    init(tmp_path, "--nginx", "system")
    unit = tmp_path / "etc/systemd/system/orchestr8.service"
    unit.write_text(unit.read_text().replace("RestartSec=2", "RestartSec=9"))
    (tmp_path / "usr/local/bin/o8").unlink()
    (tmp_path / "usr/local/bin/o8").write_text("somebody's own")
    before = files(tmp_path)
    told = init(tmp_path, code=4).output
    assert files(tmp_path) == before
    assert "-RestartSec=9" in told and "+RestartSec=2" in told and "+link to /opt/orchestr8/bin/o8" in told
    assert "replaced" in init(tmp_path, "--force").output
    after = files(tmp_path)
    assert "RestartSec=2" in after["etc/systemd/system/orchestr8.service"]
    assert after["usr/local/bin/o8"] == "/opt/orchestr8/bin/o8"
    assert after["etc/orchestr8/.env"] == before["etc/orchestr8/.env"]


def test_a_diff_of_settings_shows_no_secret(tmp_path: Path) -> None:
    init(tmp_path, "--nginx", "system", "--registry-user", "acme", "--token-stdin", input=TOKEN)
    told = init(tmp_path, "--token-stdin", "--base-domain", "example.org", input="ghp_another0123456789", code=4).output
    assert TOKEN not in told and "ghp_another" not in told and "+BASE_DOMAIN=example.org" in told
    assert settings(tmp_path)["GITHUB_PAT"] == TOKEN
    told = init(tmp_path, "--token-stdin", input="ghp_another0123456789", code=4).output
    assert "another secret" in told and "ghp_another" not in told
    secret = settings(tmp_path)["GITHUB_WEBHOOK_SECRET"]
    init(tmp_path, "--token-stdin", "--force", input="ghp_another0123456789")
    assert settings(tmp_path)["GITHUB_PAT"] == "ghp_another0123456789"
    assert settings(tmp_path)["GITHUB_WEBHOOK_SECRET"] == secret


def test_lines_that_somebody_wrote_stay(tmp_path: Path) -> None:
    before = "# mine\nPORT=9000\nGITHUB_WEBHOOK_SECRET=0123456789abcdef0123\n\nSLACK_CHANNEL=#ops\n"
    text = settings_text(Choices(nginx="embedded", base_domain="example.org"), before, "new")
    assert text.startswith(before)
    assert environment.parse(text)["GITHUB_WEBHOOK_SECRET"] == "0123456789abcdef0123"
    from_file = settings_text(Choices(nginx="embedded"), "GITHUB_WEBHOOK_SECRET_FILE=/run/secret\n", "new")
    assert "GITHUB_WEBHOOK_SECRET" not in environment.parse(from_file)


def test_a_dry_run_says_it_all_and_does_nothing(tmp_path: Path) -> None:
    told = init(tmp_path, "--nginx", "system", "--dry-run").output
    assert "Nothing is changed" in told and list(tmp_path.iterdir()) == []


def test_json_for_programs(tmp_path: Path) -> None:
    result = init(tmp_path, "--nginx", "system", "--json")
    found = orjson.loads(result.stdout)
    assert {item["state"] for item in found["items"]} == {"made"} and len(found["remaining"]) > 4


@pytest.mark.parametrize("program", ["o8", "/home/ann/o8/bin/o8", "/root/o8/bin/o8"])
def test_a_program_that_the_unit_cannot_reach_is_refused(tmp_path: Path, program: str) -> None:
    init(tmp_path, "--program", program, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    assert "cannot be" in init(tmp_path, code=1).output


def test_its_templates_are_in_the_wheel_under_their_names() -> None:
    listed = (REPOSITORY / "pyproject.toml").read_text()
    for name in installation.TEMPLATES:
        assert (REPOSITORY / "examples" / name).is_file()
        assert f'"examples/{name}" = "bot/install_templates/{name}"' in listed


def test_users_of_the_other_system_own_what_is_theirs(tmp_path: Path) -> None:
    me, mine = (4321, 4322) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\norchestr8:x:{me}:{mine}::/:/bin/false\n")
    (tmp_path / "etc/group").write_text(f"root:x:0:\norchestr8:x:{mine}:\n")
    told = init(tmp_path, "--nginx", "system").output
    owners = {path: ((tmp_path / path).stat().st_uid, (tmp_path / path).stat().st_gid)
              for path in ("etc/orchestr8/.env", "var/lib/orchestr8", installation.MANAGED[1:],
                           "etc/systemd/system/orchestr8.service")}  # fmt: skip
    if os.geteuid() == 0:
        assert list(owners.values()) == [(0, mine), (me, mine), (me, mine), (0, 0)]
    else:
        assert set(owners.values()) == {(me, mine)} and "Owners were not set" in told
    assert "DIFFERS" not in init(tmp_path).output
    (tmp_path / "var/lib/orchestr8").chmod(0o755)
    assert "+mode 0700" in init(tmp_path, code=4).output


@pytest.mark.slow
async def test_a_terminal_is_asked_for_what_was_not_given_and_never_shows_the_token(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "init", "--root", str(tmp_path), "--nginx", "embedded", "--registry-user", "acme",
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=cli_environment(tmp_path, {}),
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = await _read_until(ours, "Domain below which")
    os.write(ours, b"example.org\n")
    seen += await _read_until(ours, "Its token")
    os.write(ours, f"{TOKEN}\n".encode())
    seen += await _read_until(ours, "Slack, when you like")
    assert await process.wait() == 0
    os.close(ours)
    assert TOKEN not in seen and "User at ghcr.io" not in seen
    found = settings(tmp_path)
    assert (found["BASE_DOMAIN"], found["DOCKER_USERNAME"], found["GITHUB_PAT"]) == ("example.org", "acme", TOKEN)


async def _read_until(terminal: int, wanted: str) -> str:
    got = bytearray()

    async def look() -> bool:
        with suppress(OSError):  # nothing yet; or the other end is closed
            got.extend(os.read(terminal, 100_000))
        return wanted.encode() in got

    await until(look, 30)
    return got.decode()


@pytest.mark.slow
async def test_what_it_wrote_serves(tmp_path: Path) -> None:
    """The unit's own command line, with the settings it reads, in its working folder."""
    root = tmp_path / "root"
    root.mkdir()
    program = str(Path(sys.prefix) / "bin" / "o8")
    init(root, "--nginx", "embedded", "--base-domain", "example.org", "--program", program)
    unit = dict(re.findall(r"^(\w+)=(.*)$", (root / "etc/systemd/system/orchestr8.service").read_text(), re.MULTILINE))
    line = shlex.split(unit["ExecStart"])
    assert line == [program, "serve"]
    port, folder = free_port(), root / unit["WorkingDirectory"][1:]
    # What is of this machine: another port, a data folder below the root, nobody's Docker and no port 80.
    more = {"PORT": str(port), "O8_DATA_DIR": str(root / "var/lib/orchestr8"), "NGINX_HTTP_PORT": str(free_port()),
            "DOCKER_HOST": f"unix://{tmp_path}/no.sock", "NOTIFY_SOCKET": str(tmp_path / "systemd.sock")}  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, (tmp_path / "log").open("wb") as log:
        systemd.bind(more["NOTIFY_SOCKET"])
        systemd.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", *line[1:]], cwd=folder, stdout=log, stderr=log,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)} | more,
        )  # fmt: skip
        try:
            told = await asyncio.to_thread(systemd.recv, 100)
            assert told == b"READY=1", (tmp_path / "log").read_text()
            async with aiohttp.ClientSession() as client:
                async with client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    assert answer.status == 200
                async with client.post(f"http://127.0.0.1:{port}/webhooks/github", data=b"{}") as answer:
                    assert answer.status in (401, 403)  # the endpoint is on: it has its secret
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
        assert systemd.recv(100) == b"STOPPING=1"
