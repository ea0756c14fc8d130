"""`o8 backup`, `o8 restore` and `o8 rotate-key`, as people type them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from bot import vault as keys
from tests.cli.conftest import Run, start_o8
from tests.handlers.visiting import visiting
from tests.small_house import House, open_house

VALUE = "canary-77aa-value"


async def restored(file: Path, folder: Path, *more: str, code: int = 0, keys: str = "") -> str:
    environ = {"O8_SECRET_KEY": keys} if keys else {}
    process = await start_o8("restore", str(file), *more, folder=folder, environ=environ)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, (output, errors)
    return output.decode() + errors.decode()


@pytest.fixture
async def filled(running: House) -> House:
    await running.ask("PATCH", "/services/web/environment", {"set": {"TOKEN": VALUE}})
    return running


async def test_from_one_machine_to_another(filled: House, o8: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.o8"
    told = await o8("backup", str(file))
    assert told.exit_code == 0 and "1 service" in told.output and "every byte checked" in told.output
    assert "The key is not inside" in told.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await filled.services.store.audit(1))[0].action == "backup"
    key = tmp_path / "key"
    key.write_text(keys.key_in(filled.folder))
    two = tmp_path / "two"
    two.mkdir()
    assert "No key at hand" in await restored(file, two, code=4)
    told_too = await restored(file, two, "--key-file", str(key))
    assert "1 service." in told_too
    assert "There is a database" in await restored(file, two, code=4)
    assert "before-restore" in await restored(file, two, "--force", "--json")
    async with open_house(two) as house:
        assert VALUE in await house.services.operations.environment("web")


async def test_into_a_running_o8_it_is_refused(filled: House, o8: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.o8"
    await o8("backup", str(file), "--with-key")
    assert "Another o8 is running" in await restored(file, filled.folder, "--force", code=4)


async def test_a_backup_that_is_there_is_not_replaced_by_mistake(filled: House, o8: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.o8"
    file.write_text("old")
    assert (await o8("backup", str(file))).exit_code == 2 and file.read_text() == "old"
    answer = orjson.loads((await o8("backup", str(file), "--force", "--with-key", "--json")).output)
    assert answer == {"file": str(file), "bytes": file.stat().st_size, "services": 1, "with_key": True}
    assert [path for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_where_nothing_can_be_written_it_says_so(filled: House, o8: Run, tmp_path: Path) -> None:
    told = await o8("backup", str(tmp_path / "nowhere" / "all.o8"))
    assert told.exit_code == 1 and "cannot be written: No such file or directory" in told.output


async def test_a_new_key(filled: House, o8: Run) -> None:
    before = keys.key_in(filled.folder)
    told = await o8("rotate-key")
    assert told.exit_code == 0 and "1 environment revision" in told.output
    assert keys.key_in(filled.folder) != before and keys.retired(filled.folder) == [before]
    assert VALUE in await filled.services.operations.environment("web")
    assert before not in told.output and keys.key_in(filled.folder) not in told.output
    assert (await filled.services.store.audit(1))[0].action == "rotate key"


async def test_neither_is_offered_to_the_network(filled: House) -> None:
    async with visiting(filled) as visitor:
        for path in ("/backup", "/backup?with_key=1", "/key-rotation"):
            async with filled.client.post("http://o8/api/v1" + path) as answer:
                assert answer.status == 200  # the control: on the socket it is there
            async with visitor.client.post(f"{visitor.url}/api/v1{path}") as answer:
                assert answer.status == 404
