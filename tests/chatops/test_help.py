"""Help says what one may do, and no more; every command is described."""

from __future__ import annotations

import pytest

from handlers.chatops.grammar import parse
from handlers.chatops.registry import VERBS, Verb
from tests.chatops.talking import ADA, BOB, CAROL, NOBODY, ROOT, STRANGER, Talks, labels


def listed(details: tuple[str, ...]) -> set[str]:
    return {verb.name for verb in VERBS.values() if any(line.startswith(f"`{verb.usage}`") for line in details)}


async def test_strangers_are_told_what_strangers_may_say(talks: Talks) -> None:
    assert listed((await talks.say(STRANGER, "help")).details) == {"hello", "help"}


async def test_the_admin_is_told_of_every_command(talks: Talks) -> None:
    assert listed((await talks.say(ROOT, "help")).details) == VERBS.keys()


async def test_help_lists_what_one_may_do_somewhere(talks: Talks) -> None:
    anybody = {"access", "hello", "help", "request", "services", "whoami"}
    looking = {"status", "releases", "versions", "diff", "queue", "locks"}
    deploying = {"deploy", "rollback", "restart", "resume", "approve", "reject", "cancel", "lock", "unlock"}
    managing = {"start", "stop", "scale", "hold", "route", "mute", "unmute"}
    for who, expected in (
        (NOBODY, anybody),
        (CAROL, anybody | looking),
        (ADA, anybody | looking | deploying | {"logs", "env"}),
        (BOB, anybody | looking | deploying | managing),
    ):
        assert listed((await talks.say(who, "help")).details) == expected, who


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
async def test_every_command_has_its_usage_a_summary_and_examples_that_parse(verb: Verb) -> None:
    assert verb.summary.endswith("."), verb.help
    for _, _, text in (part.partition("`/o8 ") for part in verb.help.split("Example: ")[1:]):
        example = text.partition("`")[0]
        assert parse(example).verb.name.split()[0] == verb.name.split()[0]


async def test_help_about_one_command_says_how_and_with_which_right(talks: Talks) -> None:
    reply = await talks.say(CAROL, "help deploy")
    assert reply.text == "/o8 deploy [SVC] [RELEASE] [--dry-run] [--bypass] [-- REASON]"
    assert "It needs the permission `deploy`." in reply.details
    assert "`admin` in the scope" in " ".join((await talks.say(CAROL, "help grant")).details)
    assert "Everybody may" in " ".join((await talks.say(STRANGER, "help hello")).details)
    assert (await talks.say(CAROL, "help env set")).text == "/o8 env set SVC [KEY]"
    assert (await talks.say(CAROL, "help undo")).text.startswith("/o8 rollback")


async def test_help_about_what_is_no_command_offers_what_is(talks: Talks) -> None:
    reply = await talks.say(CAROL, "help deplyo")
    assert labels(reply)[0] == "Did you mean: help deploy"
    assert (await talks.press(CAROL, reply, "Did you mean: help deploy")).text.startswith("/o8 deploy")
