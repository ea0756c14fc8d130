# ruff: noqa: RUF001 - what phones make of quotes and dashes is what this is about
"""What people type is understood the same way each time, or refused; it never becomes something else."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.permissions import Action
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.grammar import ALIASES, Misunderstood, canonical, completed, parse, service_of
from handlers.chatops.registry import VERBS, Verb

EXAMPLES = {
    "SVC": "web", "RELEASE": "0005", "ID": "12", "N": "3", "DURATION": "1h30m", "CHANNEL": "#team-web", "WHO": "@ada",
    "ACTION": "deploy", "SCOPE": "service:web", "KEY": "DATABASE_URL", "IMAGE": "ghcr.io/acme/shop", "TOPIC": "deploy",
    "TEXT": "timeout", "USERNAME": "ada", "CODE": "0123456789", "LOGIN": "ada-l", "KEY=VALUE": "limits.cpus=1",
}  # fmt: skip
PARTS = re.compile(r"\[[^\]]*\]|\S+")
WRITES = {verb.name for verb in VERBS.values() if verb.writes}


def example_of(usage: str, *, is_full: bool = True) -> str:
    """A command made from a usage: with all that is optional, or with none of it."""
    said = []
    for part in PARTS.findall(usage.replace("-- REASON", "--REASON")):
        if part.startswith("[") and not is_full:
            continue
        for word in part.strip("[]").removesuffix("...").split():
            name = word.rstrip("0123456789")
            said.append(EXAMPLES.get(name, word.replace("--REASON", '-- it\'s <needed> & "good"')))
    return " ".join(said)


def understood(text: str) -> tuple[str, dict[str, object]] | None:
    """Verb and values, or None where it is refused; every other failure is one."""
    try:
        asked = parse(text)
    except Misunderstood as error:
        assert all(parse(meant) for meant in error.suggestions)
        return None
    return asked.verb.name, asked.values


words = st.one_of(
    st.sampled_from(sorted({part for verb in VERBS.values() for part in verb.usage.split()} | set(ALIASES))),
    st.sampled_from(sorted(EXAMPLES.values())),
    st.sampled_from([
        "--", "—", "–", "-n", "--for", "--yes", "—yes", "-- ", '"', "'", "“a b”", "’", "&lt;", "&amp;amp;", "=", "a=b",
        "<@U1|name>", "<@U1>", "<#C1|x>", "<https://example.org|x>", "<https://example.org>", "<!channel>", "/o8",
        "@o8", "\u202e", "\x00", "\ud800", "\u00a0", "９", "0005", "#12", "999999w", "service:global", "-1", "set",
    ]),
    st.text(max_size=8), st.just("\u200b"),
    st.text(alphabet="-—\"'=<>&;@#|\u200b \t\n\\`$", max_size=10),
)  # fmt: skip
texts = st.one_of(
    st.lists(words, max_size=9).map(" ".join), st.text(max_size=80),
    st.tuples(st.sampled_from(sorted(VERBS)), st.lists(words, max_size=6)).map(lambda two: " ".join((two[0], *two[1]))),
)  # fmt: skip


def holds_for(text: str) -> None:
    """Everything that is true of every text."""
    found = understood(text)
    assert found == understood(text)
    if found is None:
        return
    name, _ = found
    asked = parse(text)
    again = parse(canonical(asked))
    assert (again.verb, again.values) == (asked.verb, asked.values), canonical(asked)
    if name in WRITES:
        said_first = re.sub(r"[\u200b\u202e\"'“”„«»‘’]", "", text).lower()
        assert re.search(r"[a-z-]+", said_first), text
        # `config web cpus=1` is the one command whose words are fewer than the verb's
        first = "config" if name == "config set" else name
        spoken = [first, *(alias for alias, meant in ALIASES.items() if meant == first)]
        assert any(all(part in said_first for part in one.split()) for one in spoken), (text, name)


@given(texts)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("evn set web KEY=VALUE")
@example('logs web --grep "a -- b" --errors')
@example("lock web --for 999999w999999w -- x")
def test_any_text_is_a_command_or_misunderstood_and_always_the_same_one(text: str) -> None:
    holds_for(text)


@pytest.mark.slow
@given(texts)
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_ten_thousand_texts_are_commands_or_misunderstood_and_always_the_same_ones(text: str) -> None:
    holds_for(text)


@given(st.sampled_from(sorted(v.name for v in VERBS.values() if not v.writes)), st.lists(words, max_size=8))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("config", ["set", "web", "cpus=1"])
@example("config", ["web", "cpus=1"])
@example("env", ["unset", "web", "KEY"])
def test_what_begins_like_a_question_never_changes_anything(name: str, rest: list[str]) -> None:
    """`config` with KEY=VALUE is defined to; `env unset` is a command of two words."""
    text = " ".join((name, *rest))
    try:
        asked = parse(text)
    except Misunderstood:
        return
    if not asked.verb.writes:
        return
    if asked.verb.name == "config set":
        assert name == "config"
        assert asked.values["pairs"]
    else:
        assert (name, asked.verb.name) == ("env", "env unset")


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_every_usage_parses_from_an_example_of_itself(verb: Verb) -> None:
    for is_full in (True, False):
        text = example_of(verb.usage, is_full=is_full)
        asked = parse(text)
        assert asked.verb is verb, text
        assert parse(canonical(asked)) == asked
    assert len(parse(example_of(verb.usage)).values) == len(PARTS.findall(verb.usage.replace("-- R", "--R"))) - len(
        verb.name.split()
    )


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_every_option_that_a_verb_does_not_have_is_an_error(verb: Verb) -> None:
    text = example_of(verb.usage.replace("[-- REASON]", "").replace("-- REASON", ""), is_full=False)
    with pytest.raises(Misunderstood, match=r"`/o8 "):
        parse(f"{text} --force")


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_no_verb_runs_with_less_than_it_needs(verb: Verb) -> None:
    said = example_of(verb.usage, is_full=False)
    if " -- " in said:
        with pytest.raises(Misunderstood, match="needs a reason"):
            parse(said.partition(" -- ")[0])
    line = said.partition(" -- ")[0].split()
    needed = len(line) - len(verb.name.split())
    for kept in range(needed):
        with pytest.raises(Misunderstood):
            parse(" ".join(line[: len(verb.name.split()) + kept]) + " -- why" * (" -- " in said))


def test_nothing_is_the_list_of_services() -> None:
    for text in ("", "   ", "\u200b", "/o8", "<@U0O8> ", "@o8"):
        assert parse(text).verb.name == "services"


@pytest.mark.parametrize(("text", "values"), [
    ("logs web —errors", {"svc": "web", "errors": True}),
    ("logs web –grep “time out”", {"svc": "web", "grep": "time out"}),
    ("logs web --grep &lt;script&gt;", {"svc": "web", "grep": "<script>"}),
    ("logs web --grep &amp;lt;", {"svc": "web", "grep": "&lt;"}),
    ("logs web --grep '&nbsp;'", {"svc": "web", "grep": "&nbsp;"}),
    ("logs web --grep 'a -- b' --errors", {"svc": "web", "grep": "a -- b", "errors": True}),
    ("logs web --grep=don't", {"svc": "web", "grep": "don't"}),
    ("logs\u00a0web\u2003-n\t5", {"svc": "web", "n": 5}),
    ("<@U0O8|o8> logs WEB", {"svc": "web"}),
    ("log web", {"svc": "web"}),
])  # fmt: skip
def test_what_phones_and_slack_make_of_a_text_is_undone(text: str, values: dict[str, object]) -> None:
    assert parse(text).values == values


@pytest.mark.parametrize(("text", "reason"), [
    ("lock web -- it's broken", "it's broken"),
    ("lock web — moving   the database", "moving the database"),
    ("lock web -- a -- b", "a -- b"),
    ("lock web -- see <https://example.org/1|example.org/1> &amp; &lt;this&gt;", "see example.org/1 & <this>"),
    ("lock web -- \"quoted\" 'so'", "\"quoted\" 'so'"),
    ("lock web -- <!channel>", "<!channel>"),
    ("lock web\n--\nover\ntwo lines", "over two lines"),
])  # fmt: skip
def test_a_reason_is_kept_as_it_was_said(text: str, reason: str) -> None:
    asked = parse(text)
    assert asked.values["reason"] == reason
    assert parse(canonical(asked)) == asked


@pytest.mark.parametrize(("word", "who"), [
    ("<@U1|name>", "U1"), ("<@U012AB>", "U012AB"), ("<@W7|x y>", "W7"), ("@ada", "ada"), ("Ada", "ada"),
    ("U012AB", "U012AB"),
])  # fmt: skip
def test_people_are_mentions_ids_or_names(word: str, who: str) -> None:
    assert parse(f"revoke '{word}' deploy web").values["who"] == who


@pytest.mark.parametrize(("word", "scope"), [
    ("web", "service:web"), ("service:web", "service:web"), ("global", "global"), ("*", "global"),
    ("service:global", "service:global"),
])  # fmt: skip
def test_a_service_that_is_called_global_is_not_everything(word: str, scope: str) -> None:
    assert parse(f"revoke ada deploy {word}").values["scope"] == scope


@pytest.mark.parametrize("text", [
    "route web <#C1|x>", "route web #team-web", "route web C012AB",
])  # fmt: skip
def test_channels_are_mentions_ids_or_names(text: str) -> None:
    assert parse(text).values["channel"] in ("C1", "#team-web", "C012AB")


@pytest.mark.parametrize("length", ["0s", "0h0m", "999999999w", "1w" * 700, "5", "5 m", "-5m", "٥m", "1.5h", "3651d"])
def test_a_time_that_is_none_or_has_no_end_is_refused(length: str) -> None:
    """A grant `--for 0s` would be one for ever, if no time meant no end."""
    with pytest.raises(Misunderstood):
        parse(f"grant ada deploy web --for {length}")


@pytest.mark.parametrize(("text", "meant"), [
    ("statsu web", "status web"),
    ("web restart", "restart web"),
    ("rolback web 4 -- it's slow", "rollback web 4 -- it's slow"),
    ("lokc web --for 2h -- a &amp; b", "lock web --for 7200s -- a &amp; b"),
    ("lokc web", "help lock"),
    ("losg web --grep 'a b'", "logs web --grep 'a b'"),
])  # fmt: skip
def test_a_slip_is_offered_whole_and_as_a_text_that_parses(text: str, meant: str) -> None:
    with pytest.raises(Misunderstood) as caught:
        parse(text)
    assert meant in caught.value.suggestions
    assert all(parse(suggestion) for suggestion in caught.value.suggestions)


@pytest.mark.parametrize("text", [
    "env set web TOKEN=hunter22", "env set web TOKEN hunter22", "env set web TOKEN --hunter22", "env set web hunter22=",
    "env set web 'hunter22 x'", "env set hunter22!", "env set web TOKEN -- hunter22", "env unset web TOKEN=hunter22",
    "env set web TOKEN=\"hunter22", "evn set web TOKEN=hunter22", "env set web TOKEN hunter22 " + "x" * 300,
])  # fmt: skip
def test_a_value_that_was_typed_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Misunderstood) as caught:
        parse(text)
    assert "hunter22" not in str(caught.value) + repr(caught.value.suggestions)


def test_texts_that_are_too_long_are_refused_at_once() -> None:
    begin = time.process_time()
    for text in (
        "a" * 40_000,
        "lock web -- " * 3_400,
        "\"'" * 20_000,
        "&amp;" * 8_000,
        "lock web -- x" + " -- '" * 590,
    ):
        understood(text)
    assert time.process_time() - begin < 0.5
    with pytest.raises(Misunderstood, match="at most 3000"):
        parse("deploy web " + "x" * 40_000)


@pytest.mark.parametrize(("said", "whole"), [
    ("logs -n 5", "logs web -n 5"), ("logs shop -n 5", "logs shop -n 5"), ("status", "status web"),
    ("deploy 0005", "deploy web 0005"), ("rollback #12 --yes", "rollback web #12 --yes"), ("undo", "rollback web"),
    ("rollback 4 -- don't ask", "rollback web 4 -- don't ask"), ("lock -- it's <b>", "lock web -- it's &lt;b&gt;"),
    ("env", "env web"), ("deploy", "deploy web"), ("env set", "env set web"),
    ("config cpus=1", "config web cpus=1"), ("queue", "queue"),
    ("approve 12", "approve 12"), ("nonsense", "nonsense"), ("help", "help"), ("<@U0O8> restart", "restart web"),
])  # fmt: skip
def test_in_the_thread_of_a_card_the_service_may_be_left_out(said: str, whole: str) -> None:
    found = completed(said, "web")
    assert understood(found) == understood(whole)
    if said != whole:
        assert service_of(parse(found)) == "web"


def test_every_kind_of_value_that_usages_name_is_known() -> None:
    """An unknown placeholder would be skipped in silence."""
    named = {
        word.strip("[].").rstrip("0123456789").rstrip(".")
        for verb in VERBS.values() for word in PARTS.sub(lambda part: part[0].strip("[]"), verb.usage).split()
    }  # fmt: skip
    assert {word for word in named if word.isupper() and not word.startswith("-")} - {"REASON"} <= EXAMPLES.keys()


def test_actions_may_be_written_with_dashes_and_are_suggested() -> None:
    assert parse("request view-logs web -- why").values["action"] is Action.VIEW_LOGS
    with pytest.raises(Misunderstood, match="did you mean deploy"):
        parse("request deplyo web -- why")


def test_all_aliases_lead_to_verbs_and_hide_none() -> None:
    for alias, name in ALIASES.items():
        assert name in VERBS
        assert alias not in VERBS
    assert not {a for a, b in itertools.combinations(sorted(VERBS), 2) if a == b.replace("-", " ")}
