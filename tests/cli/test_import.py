"""`o8 import` from a folder as the original kept it to logins, services and an environment in o8."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import argon2
import pytest

from bot.configuration import Configuration
from bot.errors import NginxError
from bot.models import Deployment
from bot.permissions import GLOBAL, Action
from tests.cli import original
from tests.cli.conftest import Run
from tests.small_house import House

pytestmark = pytest.mark.slow

CANARY, PASSWORD = "canary-6f1d2c", "the old password"
WEB = "ghcr.io/acme/web:0005"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With `web` (a container, a domain, an environment), `Shop_API` (a port), ada (deploys) and Root (an admin)."""
    folder = tmp_path / "dckr"
    original.service(folder, domain="web.example.org", environment=f"# of web\nTOKEN='{CANARY}'\nCOLOUR=blue\n")
    original.service(folder, "Shop_API", image="ghcr.io/acme/shop:main", hostPort="9000")
    rights = [(1, "service:web", "manage"), (1, "service:Shop_API", "view_config"), (1, "service:gone", "manage")]
    original.users(folder, [("ada", PASSWORD, False), ("Root", "another old one", True)], rights)
    return folder


@pytest.fixture(autouse=True)
def running(house: House) -> None:
    house.engine.foreign = {"web": WEB, "postgres": "postgres:16"}


async def state(house: House) -> tuple[Any, ...]:
    """All that an import could change."""
    store = house.services.store
    return await store.services(), await store.users(), await store.audit(1000), await store.deployments("", 100, 0)


async def me(door: str, name: str, password: str) -> int:
    headers = {"Authorization": aiohttp.encode_basic_auth(name, password)}
    async with aiohttp.ClientSession() as client, client.get(f"{door}/api/v1/me", headers=headers) as answer:
        return answer.status


async def test_without_apply_it_only_says_what_it_would_do(house: House, o8: Run, folder: Path) -> None:
    before = await state(house)
    result = await o8("import", str(folder))
    assert result.exit_code == 0, result.output
    for line in (
        "service web: to add", "    ghcr.io/acme/web:0005 on 3000, web.example.org, 768m, 0.5 cpu",
        "    environment: TOKEN COLOUR", "    then 3. o8 deploy web 0005", "service Shop_API (here: shop-api): to add",
        "    warning: there is no container Shop_API", "user ada: to add", "user Root (here: root): to add",
        "    manage in service:web, view_configuration in service:shop-api",
        "    warning: manage in 'service:gone': there is no such service", "    admin in global",
        "Plan: 4 to add. Nothing was changed; --apply does it.",
    ):  # fmt: skip
        assert line in result.output.splitlines(), (line, result.output)
    assert CANARY not in result.output and "argon2" not in result.output
    assert await state(house) == before


async def test_with_apply_services_and_people_are_there_and_nothing_runs(house: House, o8: Run, folder: Path) -> None:
    await house.services.worker.start()
    result = await o8("import", str(folder), "--apply")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("Done: 4 added. Nothing was deployed;")
    web, shop = [await house.services.store.service(name) for name in ("web", "shop-api")]
    assert (web.configuration.domains, web.configuration.follow.policy) == (("web.example.org",), "numeric")
    assert (shop.configuration.host_port, shop.configuration.follow.tag) == ("9000", "main")
    assert {web.configuration.follow.auto_deploy, shop.configuration.follow.auto_deploy} == {"off"}
    text = await house.services.operations.environment("web")
    assert text == f"# of web\nTOKEN='{CANARY}'\nCOLOUR=blue\n"
    ada, root = await house.services.store.users()
    assert [(g.action, g.scope) for g in ada.grants] == [
        (Action.VIEW_CONFIGURATION, "service:shop-api"), (Action.MANAGE, "service:web")
    ]  # fmt: skip
    assert [(g.action, g.scope) for g in root.grants] == [(Action.ADMIN, GLOBAL)]
    assert await house.services.store.deployments("", 10, 0) == () and not house.engine.replicas


async def test_an_environment_of_comments_alone_is_kept_too(house: House, o8: Run, tmp_path: Path) -> None:
    original.service(tmp_path / "dckr", environment="# nothing yet\n")
    for outcome in ("1 added", "1 as it is"):
        assert f"Done: {outcome}." in (await o8("import", str(tmp_path / "dckr"), "--apply")).output
        assert await house.services.operations.environment("web") == "# nothing yet\n"


@pytest.mark.slow
async def test_people_log_in_with_the_password_they_had(house: House, o8: Run, folder: Path) -> None:
    door = await house.open_to_all()
    older = argon2.PasswordHasher(time_cost=3, memory_cost=4096, parallelism=2, type=argon2.Type.I)
    with closing(sqlite3.connect(folder / "data/users.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO users (username, password_hash) VALUES ('grace', ?)", [older.hash("graces word")]
        )
    assert await me(door, "ada", PASSWORD) == 401
    await o8("import", str(folder), "--apply")
    assert await me(door, "grace", "graces word") == 200
    assert [await me(door, name, PASSWORD) for name in ("ada", "root")] == [200, 401]
    assert await me(door, "Root", "another old one") == 200
    assert await me(door, "ada", "wrong") == 401


async def test_a_second_time_changes_nothing(house: House, o8: Run, folder: Path) -> None:
    await o8("import", str(folder), "--apply")
    await o8("user", "revoke", "ada", "manage", "service:web")
    await o8("env", "unset", "web", "COLOUR")
    (folder / "env/web/.env").write_text("COLOUR=red\n")
    before = await state(house)
    for arguments in ([], ["--apply"]):
        result = await o8("import", str(folder), *arguments)
        assert result.exit_code == 0, result.output
        assert "4 as it is." in result.output
    assert "had manage in service:web there: o8 user grant ada manage service:web" in result.output
    assert await state(house) == before


async def test_what_is_refused_does_not_hinder_the_others_and_ends_with_1(house: House, o8: Run, folder: Path) -> None:
    original.service(folder, "broken", environment=f"this is no assignment {CANARY}\n")
    original.service(folder, "portless", containerPort=None)
    original.service(folder, "bytes", environment=b"A=\xff\xfe" + CANARY.encode())
    (folder / "env/torn").mkdir()
    (folder / "env/torn/config.json").write_text('{"image": ')
    (folder / "env/list").mkdir()
    (folder / "env/list/config.json").write_text("[1]")
    for arguments in ([], ["--apply"]):
        result = await o8("import", str(folder), *arguments)
        assert result.exit_code == 1
        for name in ("broken", "portless", "bytes", "torn", "list"):
            assert f"service {name}: refused" in result.output
        assert "Line 1 of the environment is not NAME=value" in result.output and CANARY not in result.output
    assert len(await house.services.store.service_names()) == 2


async def test_a_failure_in_the_middle_is_of_one_service_alone_and_can_be_repeated(
    house: House, o8: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = house.nginx.render

    def failing(configuration: Configuration, addresses: Any) -> str:
        if configuration.name == "web":
            raise NginxError("nginx is not to be found.", "Install it.")
        return render(configuration, addresses)

    with monkeypatch.context() as patch:
        patch.setattr(house.nginx, "render", failing)
        result = await o8("import", str(folder), "--apply")
    assert result.exit_code == 1
    for line in ("service web: refused", "    error: nginx is not to be found. Install it.", "user ada: added",
                 "    warning: manage in service:web: it was not added"):  # fmt: skip
        assert line in result.output.splitlines(), (line, result.output)
    assert await house.services.store.service_names() == ("shop-api",)
    again = await o8("import", str(folder), "--apply")
    assert again.exit_code == 0 and "Done: 1 added, 3 as it is." in again.output
    assert "o8 user grant ada manage service:web" in again.output


async def test_a_name_cannot_pretend_to_be_a_line_of_the_plan(house: House, o8: Run, folder: Path) -> None:
    original.service(folder, "x\n    admin in global\x1b[2J")
    result = await o8("import", str(folder))
    assert result.output.splitlines().count("    admin in global") == 1  # root's
    assert "\x1b" not in result.output


async def test_a_folder_that_may_not_be_read_says_so(
    house: House, o8: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, forbidden = Path.iterdir, [""]

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == forbidden[0]:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    for forbidden[0], code in (("web", 1), ("env", 2)):
        result = await o8("import", str(folder))
        assert result.exit_code == code and "Permission denied. As root it can: use sudo." in result.output


async def test_who_adds_the_same_service_meanwhile_keeps_it_as_it_is(
    house: House, o8: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def foreign_images() -> dict[str, str]:
        await house.add("other")
        return {"web": WEB}

    names = house.services.store.service_names

    async def service_names() -> tuple[str, ...]:
        if await names() == ("other",):
            await house.add("web")
        return await names()

    monkeypatch.setattr(house.engine, "foreign_images", foreign_images)
    monkeypatch.setattr(house.services.store, "service_names", service_names)
    result = await o8("import", str(folder), "--apply")
    assert result.exit_code == 1 and "Somebody else has added web meanwhile. Import again." in result.output
    assert (await house.services.store.service("web")).configuration.domains == ()


async def test_json_is_the_plan_without_any_secret(house: House, o8: Run, folder: Path) -> None:
    result = await o8("import", str(folder), "--json")
    plan = json.loads(result.output)
    variables = {one["original"]: one["variables"] for one in plan["services"]}
    assert plan["is_applied"] is False and variables == {"web": ["TOKEN", "COLOUR"], "Shop_API": []}
    assert CANARY not in result.output and "argon2" not in result.output


async def test_no_value_and_no_hash_is_in_logs_audit_or_database(
    house: House, o8: Run, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await o8("import", str(folder), "--apply")
    audit = await house.services.store.audit(100)
    assert [entry.action for entry in audit] == ["import", "user add", "user add", "apply", "env write", "apply"]
    assert CANARY not in caplog.text and CANARY not in str(audit) and "argon2" not in str(audit)
    files = [path for path in house.folder.glob("o8.sqlite*") if path.is_file()]
    assert len(files) == 3 and not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert any(b"$argon2id$" in path.read_bytes() for path in files), "the control: bytes are found this way"


async def test_the_originals_folder_is_as_before(house: House, o8: Run, folder: Path) -> None:
    def listing() -> dict[str, tuple[int, bytes]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = listing()
    assert (await o8("import", str(folder), "--apply")).exit_code == 0
    assert listing() == before


async def test_the_original_may_be_running_and_have_written_a_moment_ago(house: House, o8: Run, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "data/users.sqlite")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            connection.execute("INSERT INTO users (username, password_hash) VALUES ('grace', ?)",
                               [original.BUN.hash("graces word")])  # fmt: skip
        assert (folder / "data/users.sqlite-wal").stat().st_size
        assert "user grace: to add" in (await o8("import", str(folder))).output


@pytest.mark.parametrize("make", ["nothing", "no database", "an empty one"])
async def test_a_folder_that_is_not_the_originals_is_refused(house: House, o8: Run, tmp_path: Path, make: str) -> None:
    folder = tmp_path / "other"
    (folder / "data").mkdir(parents=True)
    if make == "no database":
        (folder / "data/users.sqlite").write_bytes(os.urandom(5000))
    elif make == "an empty one":
        (folder / "data/users.sqlite").touch()
    result = await o8("import", str(folder))
    assert "Traceback" not in result.output
    assert result.exit_code == (0 if make == "an empty one" else 2), result.output


async def test_a_folder_without_users_is_imported_and_that_is_said(house: House, o8: Run, tmp_path: Path) -> None:
    original.service(tmp_path / "dckr")
    result = await o8("import", str(tmp_path / "dckr"))
    assert result.exit_code == 0 and "note: there is no data/users.sqlite, so no users" in result.output


async def test_all_environments_of_a_large_machine_go_at_once(house: House, o8: Run, tmp_path: Path) -> None:
    folder = tmp_path / "dckr"
    for number in range(40):
        original.service(folder, f"s{number}", environment=f"LARGE={'x' * 200_000}\n", hostPort=str(9000 + number))
    result = await o8("import", str(folder), "--apply")
    assert result.exit_code == 0 and "Done: 40 added." in result.output, result.output[-500:]


async def test_the_steps_that_are_printed_lead_to_a_service_that_follows_its_tags(
    house: House, o8: Run, folder: Path
) -> None:
    """The container of `Shop_API` still holds its port, so the port comes last."""
    await house.services.worker.start()
    house.engine.foreign["Shop_API"] = "ghcr.io/acme/shop:main"
    house.registry.push("main")
    config = folder / "env/Shop_API/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"containerPort": house.port}))
    plan = json.loads((await o8("import", str(folder), "--apply", "--json")).output)
    (shop,) = [one for one in plan["services"] if one["name"] == "shop-api"]
    steps = [step for step in shop["next_steps"] if step.startswith("o8 ")]
    assert (await o8(*steps[0].split()[1:])).exit_code == 0
    deployment: Deployment = await house.services.store.deployment(1)
    assert (deployment.release, deployment.switched_at is not None) == ("main", True)
    for step in steps[1:]:
        show, sed, apply = step.split(" | ")
        shown = (await o8(*show.split()[1:])).output
        file = house.folder / "file.toml"
        file.write_text(shown)
        with os.popen(f"{sed} {file}") as output:  # noqa: S605
            changed = output.read()
        result = await o8(*apply.split()[1:], input=changed)
        assert result.exit_code == 0, (step, result.output)
    live = (await house.services.store.service("shop-api")).configuration
    assert (live.host_port, live.follow.auto_deploy, live.follow.tag) == ("9000", "on", "main")
