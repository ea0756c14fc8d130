"""The environment and the configuration in chat: names in answers, values in forms only."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.chatops.talking import ADA, BOB, CAROL, ROOT, Talks, actor, cells, labels, whole

pytestmark = pytest.mark.slow

CANARY = "hunter22-canary"


async def test_a_secret_from_a_form_is_in_no_answer_no_audit_no_byte_of_the_database_and_no_log(
    live: Talks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    form = await live.say(ROOT, "env set web TOKEN")
    replies = [form, await live.fill_in(ROOT, form, value=CANARY)]
    await live.ended()
    for text in ("env web", "audit", "audit web", "status web", "diff web", "config web", "queue", "logs web"):
        replies.append(await live.say(ROOT, text))
    replies.append(await live.fill_in(ROOT, form, value=CANARY))  # it is so already
    replies.append(await live.fill_in(ROOT, form, value=CANARY + "\0"))
    assert [reply.is_refusal for reply in replies[-2:]] == [True, True]
    assert CANARY not in "".join(map(whole, replies))
    assert CANARY not in repr(await live.house.services.store.audit(limit=100))
    assert CANARY not in caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"o8.sqlite", "o8.sqlite-wal"} <= {file.name for file in files}
    written = b"".join(file.read_bytes() for file in files)
    assert b"TOKEN" in written, "the control: its name is there"
    assert CANARY.encode() not in written
    assert await live.house.services.operations.environment("web") == f"TOKEN={CANARY}\n"


@pytest.mark.parametrize("text", [
    f"env set web TOKEN={CANARY}", f"env set web TOKEN {CANARY}", f"env set web {CANARY}",
    f"env unset web TOKEN={CANARY}",
])  # fmt: skip
async def test_a_value_that_was_typed_is_refused_and_kept_nowhere(talks: Talks, tmp_path: Path, text: str) -> None:
    reply = await talks.say(ROOT, text)
    assert reply.is_refusal
    assert "Slack keeps it in its history" in reply.text
    assert CANARY not in whole(reply)
    assert CANARY.encode() not in b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


async def test_variables_are_listed_with_their_names_since_when_and_by_whom(live: Talks) -> None:
    assert (await live.say(ADA, "env web")).text == "web has no environment variables."
    assert labels(await live.say(ADA, "env web")) == [], "she may not set one"
    store = live.house.services.store
    for name in ("OLD", "NEW"):
        form = await live.say(ROOT, "env set web")
        assert form.form
        assert [field.kind for field in form.form.fields] == ["text", "secret"]
        await live.fill_in(ROOT, form, key=f" {name} ", value="hunter22")
        await live.ended()
    await live.say(ROOT, "env unset web OLD")
    await live.ended()
    await live.fill_in(ROOT, await live.say(ROOT, "env set web OLD"), value="hunter23")
    await live.ended()
    reply = await live.say(ROOT, "env web")
    assert reply.text == "web has 2 variables, revision 4."
    assert labels(reply) == ["Set one"]
    assert {row[0] for row in reply.table[1:]} == {"OLD", "NEW"}
    assert {row[2] for row in reply.table[1:]} == {"root"}
    assert [r.actor for r in await store.environment_revisions("web")] == [actor(ROOT)] * 4
    assert "hunter2" not in whole(reply)


async def test_environment_needs_its_own_rights(talks: Talks) -> None:
    for who, text, action in (
        (CAROL, "env web", "view_env"), (ADA, "env set web TOKEN", "edit_env"), (ADA, "env unset web X", "edit_env"),
        (BOB, "env web", "view_env"), (BOB, "config web", "view_configuration"),
        (BOB, "config web cpus=1", "edit_configuration"),
    ):  # fmt: skip
        reply = await talks.say(who, text)
        assert reply.text.startswith(f"You need `{action}` in `service:web` for this. root can grant it"), text
        assert labels(reply) == [f"Ask for {action}"]


async def test_names_that_no_environment_can_have_are_refused(talks: Talks) -> None:
    form = await talks.say(ROOT, "env set web")
    for name in ("", "9A", "A B", "A=B"):
        assert (await talks.fill_in(ROOT, form, key=name, value="hunter22")).is_refusal
    assert (
        await talks.say(ROOT, "env unset web MISSING")
    ).text == "'MISSING' is not set. `/o8 env SERVICE` shows the names."


async def test_while_a_service_does_not_run_its_environment_counts_from_the_next_start(talks: Talks) -> None:
    reply = await talks.fill_in(ROOT, await talks.say(ROOT, "env set web TOKEN"), value="hunter22")
    assert reply.text == "TOKEN of web is set; it counts from the next start."
    assert (
        await talks.say(ROOT, "env unset web TOKEN")
    ).text == "TOKEN of web is gone; that counts from the next start."


async def test_under_a_lock_neither_environment_nor_configuration_is_changed(live: Talks) -> None:
    await live.say(ADA, "lock web -- moving")
    form = await live.say(ROOT, "env set web TOKEN")
    for reply in (await live.fill_in(ROOT, form, value="hunter22"), await live.say(ROOT, "config web cpus=2")):
        assert reply.text.startswith("web is locked by ada")
        assert labels(reply) == ["Take over"]
    service = await live.house.services.store.service("web")
    assert service.environment_revision == 0
    assert service.configuration.limits.cpus == 1
    await live.say(ADA, "unlock web")
    assert (await live.fill_in(ROOT, form, value="hunter22")).text.startswith("Deployment 3"), "the control"


async def test_the_configuration_is_shown_key_by_key(talks: Talks) -> None:
    reply = await talks.say(ROOT, "config web")
    shown = dict(row for row in reply.table[1:] if len(row) == 2)
    assert shown["limits.memory"] == "512m"
    assert shown["site.buffering"] == "false"


async def test_keys_are_changed_by_their_short_names_and_deployed(live: Talks) -> None:
    reply = await live.say(ROOT, "config web cpus=0.5 buffering=on domains=a.example.org,b.example.org path=/ready")
    assert reply.text == "Deployment 3 of web with what was changed is queued; its card is in #deployments."
    assert reply.table == (
        ("key", "before", "now"), ("domains", "", "a.example.org, b.example.org"), ("limits.cpus", "1.0", "0.5"),
        ("health.path", "/", "/ready"), ("site.buffering", "false", "true"),
    )  # fmt: skip
    assert (await live.ended()).configuration.limits.cpus == 0.5
    assert (await live.say(ROOT, "config set web limits.cpus=0.5")).text == "The configuration of web was so already."
    assert (await live.say(ROOT, "config web domains=")).table[1] == ("domains", "a.example.org, b.example.org", "")


async def test_what_needs_no_deployment_is_changed_without_one(live: Talks) -> None:
    reply = await live.say(ROOT, "config web auto_deploy=off")
    assert reply.text == "web is configured anew."
    assert cells(reply) == ["follow.auto_deploy", "on", "off"]
    assert (await live.newest()).id == 2


@pytest.mark.parametrize(("pair", "words"), [
    ("cpuz=1", "There is no key 'cpuz' to change. Did you mean limits.cpus?"),
    ("name=shop", "There is no key 'name' to change."),
    ("cpus=lots", "limits.cpus"),
    ("nonsense.at.all=1", "`/o8 config SERVICE` shows all of them."),
    ("limits=1", "There is no key 'limits' to change."),
    ("volumes=a,b", "volumes"),
])  # fmt: skip
async def test_what_is_no_key_or_no_value_changes_nothing_and_says_why(talks: Talks, pair: str, words: str) -> None:
    before = await talks.house.services.store.service("web")
    reply = await talks.say(ROOT, f"config web replicas=2 {pair}")
    assert reply.is_refusal
    assert words in reply.text
    assert await talks.house.services.store.service("web") == before
