"""`o8 token`, `o8 user password` and what they let in, against a real socket and a real port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sys
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bot.permissions import GLOBAL, Action
from lab.waiting import until
from tests.cli.conftest import Run, environment
from tests.small_house import House

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


@pytest.fixture
async def door(house: House) -> str:
    """Where everybody may knock; there is a service `web` and the user ada, who deploys everything."""
    await house.add()
    await house.services.store.add_user("ada", rights=[(Action.DEPLOY, GLOBAL)])
    return await house.open_to_all()


async def status(door: str, path: str, token: str = "", login: tuple[str, str] | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if login:
        headers["Authorization"] = aiohttp.encode_basic_auth(*login)
    async with aiohttp.ClientSession() as client, client.get(f"{door}/api/v1{path}", headers=headers) as answer:
        return answer.status


async def test_a_token_acts_until_it_is_removed(house: House, o8: Run, door: str) -> None:
    assert (await o8("token", "list")).output == "No token yet. `o8 token add NAME` makes one.\n"
    made = await o8("token", "add", "ci", "--user", "ada")
    said, secret = made.output.splitlines()
    assert said == "Token 1 acts for ada until it is removed: all of their rights. Shown this once:"
    assert secret.startswith("o8_") and await status(door, "/services/web", secret) == 200
    listed = await o8("token", "list")
    assert listed.output.splitlines()[1].split()[:7] == ["1", "ci", "ada", "all", "of", "their", "rights"]
    assert secret not in listed.output + (await o8("token", "list", "--json")).output
    assert (await o8("token", "remove", "1")).output == "Token 1 (ci) of ada is removed.\n"
    assert await status(door, "/services/web", secret) == 401
    assert (await o8("token", "remove", "1")).exit_code == 3


async def test_a_token_may_be_narrow_and_for_a_time(house: House, o8: Run, door: str) -> None:
    line = ["token", "add", "ci", "--user", "ada", "--right", "view_status:service:web", "--for", "90d", "--json"]
    made = json.loads((await o8(*line)).output)
    ends = datetime.fromisoformat(made["token"]["expires_at"])
    assert timedelta(days=89, hours=23) < ends - datetime.now(UTC) <= timedelta(days=90)
    assert [(g["action"], g["scope"]) for g in made["token"]["grants"]] == [("view_status", "service:web")]
    assert await status(door, "/services/web", made["secret"]) == 200
    assert await status(door, "/services/web/environment", made["secret"]) == 403
    assert f"{ends:%Y-%m-%d %H:%M} UTC" in (await o8("token", "list")).output


async def test_without_a_user_it_acts_for_the_admin_of_the_settings(house: House, o8: Run, door: str) -> None:
    made = await o8("token", "add", "grafana")
    assert "acts for admin until it is removed" in made.output
    assert await status(door, "/audit", made.output.split()[-1]) == 200


@pytest.mark.parametrize(("line", "code"), [
    (["token", "add", "ci", "--user", "bob"], 3), (["token", "add", ""], 2), (["token", "add", "ci", "--for", "1s"], 2),
    (["token", "add", "ci", "--right", "fly:global"], 2), (["token", "add", "ci", "--right", "deploy"], 2),
    (["token", "add", "ci", "--right", "deploy:web"], 2), (["token", "remove", "first"], 2),
    (["token", "add", "ci", "--right", "deploy:"], 2), (["token", "add", "ci", "--user", "Ada!"], 2),
    (["user", "password", "bob"], 3), (["user", "add", "bob", "--password-stdin"], 2),
])  # fmt: skip
async def test_what_makes_no_sense_makes_nothing(house: House, o8: Run, door: str, line: list[str], code: int) -> None:
    result = await o8(*line, input="a password that is long\n" if "bob" in line and "add" not in line else "")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert await house.services.store.tokens() == () and len(await house.services.store.users()) == 1


async def test_a_password_from_stdin_lets_in(house: House, o8: Run, door: str) -> None:
    assert (await o8("user", "add", "bob", "--password-stdin", input=f"{PASSWORD}\n")).exit_code == 0
    assert await status(door, "/me", login=("bob", PASSWORD)) == 200
    changed = await o8("user", "password", "bob", input="another word entirely\r\n")
    assert changed.output == "bob has a new password.\n"
    assert await status(door, "/me", login=("bob", PASSWORD)) == 401
    assert await status(door, "/me", login=("bob", "another word entirely")) == 200
    listed = {line.split()[0]: line for line in (await o8("user", "list")).output.splitlines()}
    assert "yes" in listed["bob"] and "yes" not in listed["ada"]


async def test_the_admin_of_the_settings_gets_a_password_in_the_same_way(house: House, o8: Run, door: str) -> None:
    assert (await o8("user", "password", "admin", input=PASSWORD)).exit_code == 0
    assert await status(door, "/audit", login=("admin", PASSWORD)) == 200


@pytest.mark.parametrize("word", ["short", "", "x" * 1025])
async def test_a_bad_password_is_refused_and_not_repeated(house: House, o8: Run, door: str, word: str) -> None:
    result = await o8("user", "password", "ada", input=word)
    assert result.exit_code == 2
    assert not word or word not in result.output
    assert not (await house.services.store.user("ada")).has_password


async def test_no_secret_is_in_the_audit(house: House, o8: Run, door: str) -> None:
    secret = (await o8("token", "add", "ci", "--user", "ada")).output.split()[-1]
    await o8("user", "password", "ada", input=PASSWORD)
    audit = (await o8("audit", "list", "--json")).output
    assert [entry["action"] for entry in json.loads(audit)] == ["password", "token add"]
    assert secret not in audit and PASSWORD not in audit and "argon2" not in audit


@pytest.mark.slow
async def test_at_a_terminal_a_password_is_asked_twice_without_echo(house: House, door: str) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "user", "add", "bob", "--password", cwd=house.folder,
        env=environment(house.folder, {}), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    got = bytearray()

    async def asked(question: bytes) -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(ours, 100_000))
        return question in got

    for question in (b"Password of bob: ", b"Repeat for confirmation: "):
        await until(lambda question=question: asked(question), within_s=20)  # type: ignore[misc]
        os.write(ours, PASSWORD.encode() + b"\n")
    await until(lambda: asked(b"bob is added"), within_s=20)
    assert await process.wait() == 0
    assert PASSWORD.encode() not in got
    assert await status(door, "/me", login=("bob", PASSWORD)) == 200
    os.close(ours)
    os.close(theirs)
