"""Forms become modals that Slack takes, and come back as what was entered."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import Place
from bot.packages.proposal import House, Subject, offer
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.registry import FORMS, VERBS
from handlers.chatops.reply import Field, Form
from handlers.chatops.verbs.packages import form_of
from handlers.slack.forms import chosen, options, read, view_of
from lab.slack import driver
from lab.slack.limits import check_option, check_view
from tests.slack.test_text import hostile

PLACE = Place(team="T1", user="U1", channel="C1", response_url="https://hooks.slack.com/commands/T1/1/abc")
FORM = Form(
    "install", "Install a service", "Install",
    (
        Field("name", "Name", value="web"), Field("port", "Port", "number", value="80"),
        Field("value", "Value", "secret"),
        Field("auto", "Pushes", "choice", value="on", choices=("on", "off")),
        Field("svc", "Service", "choice", source="services", is_optional=True),
    ),
    {"image": "ghcr.io/acme/web"}, about="ghcr.io/acme/web",
)  # fmt: skip


def filled(view: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """As Slack sends it back; what was left empty is there, too, as nothing."""
    state = {}
    for block in view["blocks"]:
        if block["type"] == "input":
            value = values.get(block["block_id"])
            nothing = {"selected_option": None} if "select" in block["element"]["type"] else {"value": None}
            given = nothing if value is None else driver.entered(block["element"], value)
            state[block["block_id"]] = {block["element"]["action_id"]: given}
    return view | {"state": {"values": state}}


def test_a_form_is_a_modal_that_slack_takes() -> None:
    view = view_of(FORM, PLACE)
    assert check_view(view) == []
    kinds = [block["element"]["type"] for block in view["blocks"] if block["type"] == "input"]
    assert kinds == ["plain_text_input", "number_input", "plain_text_input", "static_select", "external_select"]


@given(hostile, hostile, hostile, st.lists(hostile, max_size=120), st.sampled_from([1, 40]))
@settings(max_examples=20, deadline=None)
def test_a_form_with_any_words_is_a_modal_that_slack_takes(
    title: str, label: str, hint: str, choices: list[str], times: int
) -> None:
    fields = (
        Field("a", label * times, "choice", value=(choices or [""])[0], hint=hint * times, choices=(*choices, "x")),
        Field("b", title, "secret", hint=title * times),
    )
    assert check_view(view_of(Form("x", title * times, label, fields, about=hint * times), PLACE)) == []


@given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(["on", "off"]), st.integers(1, 65535))
def test_what_was_entered_comes_back_as_it_was(name: str, value: str, auto: str, port: int) -> None:
    values = {"name": name, "value": value, "auto": auto, "port": str(port), "svc": "web"}
    found = read(filled(view_of(FORM, PLACE), values))
    assert found.values == values
    assert (found.verb, found.fixed, found.place) == ("install", {"image": "ghcr.io/acme/web"}, PLACE)


@pytest.mark.parametrize(
    "place",
    [
        Place(team="T1", user="U1"), Place(team="T1", user="U1", channel="D1", is_direct=True),
        Place(team="T1", user="U1", channel="C1", thread="1.2"), PLACE,
    ],
)  # fmt: skip
def test_where_it_was_asked_comes_back_too(place: Place) -> None:
    assert read(filled(view_of(FORM, place), {})).place == place


def test_what_was_left_empty_is_not_there() -> None:
    assert read(filled(view_of(FORM, PLACE), {"name": "web"})).values == {"name": "web"}


def test_only_a_secret_may_have_many_lines_and_no_secret_is_shown_again() -> None:
    elements = {b["block_id"]: b["element"] for b in view_of(FORM, PLACE)["blocks"] if b["type"] == "input"}
    assert elements["value"]["multiline"] and "initial_value" not in elements["value"]
    assert not elements["name"]["multiline"] and elements["name"]["initial_value"] == "web"


def test_a_value_that_is_no_choice_is_not_chosen_beforehand() -> None:
    """Slack refuses the whole modal else."""
    form = Form("x", "x", "x", (Field("a", "A", "choice", value="gone", choices=("on", "off")),))
    assert check_view(view_of(form, PLACE)) == []
    assert "initial_option" not in str(view_of(form, PLACE))


PLACE_TEXT = '{"team": "T1", "user": "U1"}'


@pytest.mark.parametrize(
    "metadata",
    [
        "", "x", "[]", "{}", "null", '{"verb": "install"}', '{"verb": 1, "fixed": {}, "place": 3}',
        f'{{"verb": 1, "place": {PLACE_TEXT}}}', f'{{"verb": "x", "fixed": [], "place": {PLACE_TEXT}}}',
        f'{{"verb": "x", "fixed": {{"a": 1}}, "place": {PLACE_TEXT}}}',
        f'{{"verb": "x", "more": 1, "place": {PLACE_TEXT}}}', '{"verb": "x", "place": {"team": "T1"}}',
        f'{{"verb": "x", "fixed": {{"name": "other"}}, "place": {PLACE_TEXT}}}',
    ],
)  # fmt: skip
def test_what_is_not_ours_is_refused(metadata: str) -> None:
    view = filled(view_of(FORM, PLACE), {"name": "web"})
    with pytest.raises(ValueError):
        read(view | {"private_metadata": metadata})
    with pytest.raises(ValueError):
        read({"private_metadata": metadata})
    assert read(view).values == {"name": "web"}


@pytest.mark.parametrize("state", [None, {}, {"values": []}, {"values": {"name": {}}}, {"values": {"name": {"x": 1}}}])
def test_a_state_that_slack_never_sends_is_refused(state: Any) -> None:
    with pytest.raises(ValueError):
        read(view_of(FORM, PLACE) | {"state": state})


NOBODY: Any = None  # these verbs ask before they look at anything


@pytest.mark.parametrize(
    ("verb", "words"), [("deploy", {}), ("install", {"image": "ghcr.io/acme/web"}), ("reject", {"id": 12})]
)
async def test_each_form_brings_what_is_done_with_it_takes(verb: str, words: dict[str, Any]) -> None:
    form = (await VERBS[verb].run(NOBODY, **words)).form
    if verb == "install":  # of what the image says, which its form waits for
        form = form_of(offer(Subject(words["image"], "0001"), None, House()))
    assert form and check_view(view_of(form, PLACE)) == []
    brought = {field.name for field in form.fields} | form.fixed.keys()
    taken = dict(inspect.signature(FORMS[form.verb].run).parameters)
    del taken["talk"]
    assert brought == taken.keys()
    needed = {name for name, parameter in taken.items() if parameter.default is inspect.Parameter.empty}
    assert needed <= {field.name for field in form.fields if not field.is_optional} | form.fixed.keys()


async def test_service_and_release_of_a_deploy_are_looked_for_while_one_types() -> None:
    form = (await VERBS["deploy"].run(NOBODY)).form
    assert form
    elements = [block["element"] for block in view_of(form, PLACE)["blocks"]]
    assert [e["action_id"] for e in elements if e["type"] == "external_select"] == [
        "o8:pick:services", "o8:pick:releases",
    ]  # fmt: skip
    assert all(e["min_query_length"] == 0 for e in elements if e["type"] == "external_select")


def test_what_is_chosen_so_far_can_be_read() -> None:
    view = filled(view_of(FORM, PLACE), {"svc": "web"})
    assert chosen(view, "svc") == "web"
    assert chosen(view, "auto") == chosen(view, "nothing") == chosen({}, "svc") == ""
    assert chosen({"state": None}, "svc") == ""


@given(st.lists(hostile, max_size=300))
def test_choices_of_any_kind_are_ones_that_slack_takes(values: list[str]) -> None:
    found = options(values)["options"]
    assert len(found) <= 100
    assert [problem for option in found for problem in check_option(option)] == []
