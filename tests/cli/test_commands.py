"""Every command, against a real socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bot.models import State, Wanted
from tests.cli.conftest import Run
from tests.small_house import House

pytestmark = pytest.mark.slow


def write(house: House, **more: str) -> str:
    path = house.folder / "web.toml"
    lines = [f'name = "web"\nimage = "ghcr.io/acme/web"\nport = {house.port}\nwatch = 0']
    path.write_text("\n".join(lines + [f'{key} = "{value}"' for key, value in more.items()]))
    return str(path)


async def test_a_service_goes_from_its_file_to_live_and_away_again(house: House, o8: Run) -> None:
    await house.services.worker.start()
    house.registry.push("0001")
    added = await o8("service", "apply", write(house))
    assert (added.exit_code, added.output) == (
        0, "web is added. `o8 deploy web` deploys its newest tag; until then it waits for a push.\n"
    )  # fmt: skip
    deployed = await o8("deploy", "web")
    assert deployed.exit_code == 0
    assert deployed.output.splitlines()[:3] == ["web #1: queued", "web 0001: resolving", "web 0001: pulling"] or (
        "web 0001: pulling" in deployed.output
    )
    assert "web 0001 is live." in deployed.output
    listed = await o8("service", "list")
    assert listed.output.splitlines()[1].split() == ["web", "live", "0001", "ghcr.io/acme/web", "-"]
    again = await o8("service", "apply", write(house))
    assert again.output.endswith("nothing to deploy.\n")
    assert (await o8("service", "remove", "web", "--yes")).output == "web is removed.\n"
    assert "No services yet." in (await o8("status")).output


async def test_apply_reads_stdin_and_waits_for_the_change(running: House, o8: Run) -> None:
    text = Path(write(running)).read_text() + "\nreplicas = 2\n"
    result = await o8("service", "apply", "-", "--wait", input=text)
    assert result.exit_code == 0 and "web 0001 is live." in result.output
    assert len([r for r in await running.engine.observe("web") if r.slot == "a"]) == 2


async def test_what_show_prints_can_be_applied_again(house: House, o8: Run) -> None:
    await house.add(
        domains=["a.example.org", "b.example.org"], command=["sh", "-c", 'echo "\\ä\t"'], limits={"memory": "256m"},
        follow={"policy": "semver", "range": ">=1.0.0"}, volumes=[{"name": "data", "path": "/data"}],
        site={"trusted_proxies": ["10.0.0.0/8"]},
    )  # fmt: skip
    before = (await house.services.store.service("web")).configuration
    shown = await o8("service", "show", "web")
    assert shown.output.startswith("# web is new")
    assert (await o8("service", "apply", "-", input=shown.output)).exit_code == 0
    assert (await house.services.store.service("web")).configuration == before


async def test_rollback_restart_stop_start_and_scale(running: House, o8: Run) -> None:
    await running.deployed(tag="0002")
    assert "web 0001 is live" in (await o8("rollback", "web")).output
    assert "web 0001 is live" in (await o8("restart", "web", "--wait")).output
    assert (await o8("stop", "web", input="n\n")).exit_code == 130
    assert (await running.services.store.service("web")).is_stopped is False
    assert "is stopped" in (await o8("stop", "web", input="y\n")).output
    assert "web 0001 is live" in (await o8("start", "web", "--wait")).output
    assert "web 0001 is live" in (await o8("scale", "web", "2", "--wait")).output
    assert (await o8("scale", "web", "9")).exit_code == 2
    shown = await o8("releases", "web")
    assert [line.split()[3] for line in shown.output.splitlines()[1:]].count("0002") == 1


async def test_a_failed_deployment_ends_with_1_and_says_why(running: House, o8: Run) -> None:
    result = await o8("deploy", "web", "0404")
    assert result.exit_code == 1
    assert "failed. ghcr.io/acme/web has no tag 0404. Push it first." in result.output


async def test_detached_it_returns_at_once(running: House, o8: Run) -> None:
    running.registry.push("0002")
    running.engine.may_pull.clear()
    result = await o8("deploy", "web", "--detach", "--json")
    assert result.exit_code == 0
    asked = json.loads(result.output)
    assert asked["state"] == "queued"
    running.engine.may_pull.set()
    assert (await running.ended(asked["id"])).state is State.SUCCEEDED


@pytest.mark.slow
async def test_by_default_it_returns_when_the_release_has_switched_and_waits_for_the_ending_when_asked(
    running: House, o8: Run
) -> None:
    await running.services.store.apply((await running.services.store.service("web")).configuration.model_copy(
        update={"watch": 3600}), 100)  # fmt: skip
    running.registry.push("0002")
    switched = await o8("deploy", "web")
    assert switched.exit_code == 0 and "web 0002 is live. Its deployment goes on" in switched.output
    running.registry.push("0003")
    waiting = asyncio.create_task(o8("deploy", "web", "--wait"))
    done, _ = await asyncio.wait({waiting}, timeout=1.5)
    assert not done
    await o8("restart", "web", "--detach")  # ends the watch of the one before
    assert "web 0003 is live.\n" in (await waiting).output


async def test_cancel_and_approve(running: House, o8: Run) -> None:
    running.registry.push("0002")
    wish = Wanted(service="web", kind="deploy", actor="delivery:x", tag="0002", needs_approval=True)
    first = await running.services.worker.want(wish)
    assert (await o8("cancel", str(first.id))).output == f"Deployment {first.id} of web is being cancelled.\n"
    second = await running.services.worker.want(wish)
    approved = await o8("approve", str(second.id), "--wait")
    assert approved.exit_code == 0 and "web 0002 is live." in approved.output
    assert (await o8("approve", str(second.id))).exit_code == 4


async def test_hold_resume_lock_and_unlock(running: House, o8: Run) -> None:
    assert "on hold" in (await o8("hold", "web", "--reason", "audit")).output
    assert "hold: audit" in (await o8("status")).output
    assert "0001 is the image that is live" in (await o8("resume", "web")).output
    assert "locked until" in (await o8("lock", "web", "--for", "2h", "--reason", "exam")).output
    refused = await o8("deploy", "web")
    assert refused.exit_code == 4 and "exam" in refused.output and "o8 unlock web" in refused.output
    assert (await o8("unlock", "web")).exit_code == 0
    assert (await o8("lock", "web", "--for", "2x", "--reason", "exam")).exit_code == 2


async def test_environment_is_set_listed_and_unset(house: House, o8: Run) -> None:
    await house.add()
    assert "Revision 1 is stored" in (await o8("env", "set", "web", "COLOUR=blue", "EMPTY=")).output
    assert (await o8("env", "set", "web", "TOKEN", input="a secret = with signs\n")).exit_code == 0
    listed = await o8("env", "list", "web")
    assert listed.output.split()[1:4] == ["COLOUR", "EMPTY", "TOKEN"] and "secret" not in listed.output
    assert "TOKEN='a secret = with signs'" in (await o8("env", "list", "web", "--values")).output
    assert (await o8("env", "unset", "web", "TOKEN", "EMPTY")).exit_code == 0
    assert (await o8("env", "unset", "web", "TOKEN")).exit_code == 2
    assert (await o8("env", "set", "web", "A", "B", input="x\n")).exit_code == 2


async def test_a_change_of_environment_is_deployed(running: House, o8: Run) -> None:
    result = await o8("env", "set", "web", "COLOUR=blue", "--wait")
    assert result.exit_code == 0 and "web 0001 is live." in result.output


async def test_one_deployment_is_shown_with_its_steps_its_error_and_last_lines(running: House, o8: Run) -> None:
    await running.services.store.want(Wanted(service="web", kind="deploy", actor="cli:root", tag="0002"))
    claimed = await running.services.store.claim("web")
    assert claimed is not None
    for state in (State.RESOLVING, State.STARTING):
        await running.services.store.enter(claimed.id, state)
        await running.services.store.leave(claimed.id, {"tag": "0002"})
    await running.services.store.finish(
        claimed.id, State.FAILED, error_code="candidate_failed", error="It exited with code 1.",
        next_step="Look at its lines.", log="boom\nbang", exit_code=1,
    )  # fmt: skip
    shown = await o8("deployments", str(claimed.id))
    assert shown.exit_code == 0
    for fact in ("deploy by cli:root", "starting", "It exited with code 1. Look at its lines.", "    boom", "    bang"):
        assert fact in shown.output
    listed = await o8("deployments", "web", "-n", "1")
    assert listed.output.splitlines()[1].split()[:5] == [str(claimed.id), "web", "deploy", "0002", "failed"]


async def test_logs_doctor_deliveries_and_audit(running: House, o8: Run) -> None:
    assert (await o8("logs", "web", "-n", "1", "--since", "10m")).output == "second line\n"
    assert json.loads((await o8("logs", "web", "-n", "1", "--json")).output) == {"line": "second line"}
    assert "No delivery yet." in (await o8("deliveries")).output
    assert (await o8("deliveries", "none")).exit_code == 3
    assert (await o8("doctor")).exit_code in (0, 1)
    assert (await o8("audit", "verify")).output == "The audit is whole.\n"
    assert "deploy" in (await o8("audit", "list")).output


async def test_an_edited_audit_ends_with_1(running: House, o8: Run) -> None:
    await running.services.store.write(lambda db: db.execute("UPDATE audit SET actor = 'nobody'"))
    result = await o8("audit", "verify")
    assert (result.exit_code, result.output) == (1, "The audit was edited at entry 1.\n")


async def test_json_is_what_the_api_answers(running: House, o8: Run) -> None:
    for line, path in (
        (["status"], "/status"), (["service", "list"], "/services"), (["service", "show", "web"], "/services/web"),
        (["deployments"], "/deployments"), (["deployments", "1"], "/deployments/1"), (["deliveries"], "/deliveries"),
        (["releases", "web"], "/services/web/releases"), (["env", "list", "web"], "/services/web/environment"),
        (["audit", "list"], "/audit"), (["audit", "verify"], "/audit/verification"),
    ):  # fmt: skip
        assert json.loads((await o8(*line, "--json")).output) == (await running.ask("GET", path))[1]


async def test_with_json_progress_goes_to_stderr_alone(running: House, o8: Run) -> None:
    running.registry.push("0002")
    result = await o8("deploy", "web", "--wait", "--json")
    assert json.loads(result.stdout)["state"] == "succeeded"
    assert "web 0002: pulling" in result.stderr


async def test_what_is_wrong_ends_with_2_unknown_with_3(house: House, o8: Run) -> None:
    await house.add()
    unknown = await o8("deploy", "wbe")
    assert unknown.exit_code == 3 and "Did you mean web?" in unknown.output
    typing_error = await o8("deplyo", "web")
    assert typing_error.exit_code == 2 and "'deploy'" in typing_error.output
    broken = house.folder / "broken.toml"
    broken.write_text('name = "web"\nimage = "NoTag"\nport = 0\nnope = 1\n')
    wrong = await o8("service", "apply", str(broken))
    assert wrong.exit_code == 2
    for fact in ("image = 'NoTag': expected registry/name", "port = 0: expected 1 or more", "nope is not a known key"):
        assert fact in wrong.output
    broken.write_bytes(b"\xff")
    assert (await o8("service", "apply", str(broken))).exit_code == 2
    broken.write_text("name = ")
    assert "not TOML" in (await o8("service", "apply", str(broken))).output


async def test_names_that_are_no_plain_path_do_not_reach_another_route(house: House, o8: Run) -> None:
    for name in ("a/b", "..", "../status", "a?values=1", "a#b", "%2e%2e", "ä b"):
        result = await o8("service", "show", name)
        assert result.exit_code == 3, name
