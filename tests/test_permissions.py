"""The table of rights, whole: every action, in every scope, for every single grant."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.permissions import ALLOWS, GLOBAL, GLOBAL_ONLY, Action, Grant, Person, implied_by, scope_of, service_of
from lab import docs

A = Action
# Written down once more, by hand: a change of the code's own table has to be meant.
GIVES = {
    A.ADMIN: set(Action),
    A.MANAGE: {A.MANAGE, A.DEPLOY, A.VIEW_STATUS},
    A.DEPLOY: {A.DEPLOY, A.VIEW_STATUS},
    A.VIEW_STATUS: {A.VIEW_STATUS},
    A.VIEW_LOGS: {A.VIEW_LOGS, A.VIEW_STATUS},
    A.EDIT_CONFIGURATION: {A.EDIT_CONFIGURATION, A.VIEW_CONFIGURATION, A.VIEW_STATUS},
    A.VIEW_CONFIGURATION: {A.VIEW_CONFIGURATION, A.VIEW_STATUS},
    A.EDIT_ENV: {A.EDIT_ENV, A.VIEW_ENV, A.VIEW_STATUS},
    A.VIEW_ENV: {A.VIEW_ENV, A.VIEW_STATUS},
    A.PULL_NEW_IMAGE: {A.PULL_NEW_IMAGE},
    A.ADD_NEW_SERVICE: {A.ADD_NEW_SERVICE},
}
NOW = datetime.now(UTC)
SOON, PAST = NOW + timedelta(hours=1), NOW - timedelta(seconds=1)
grants = st.builds(
    Grant, scope=st.sampled_from([GLOBAL, "service:web", "service:shop"]), action=st.sampled_from(Action),
    expires_at=st.sampled_from([None, SOON, PAST]),
)  # fmt: skip


def somebody(*grants: Grant) -> Person:
    return Person(actor="slack:T1:U1", username="ada", grants=grants)


@pytest.mark.parametrize("given_scope", [GLOBAL, "service:web", "service:shop"])
@pytest.mark.parametrize("held", Action)
def test_every_grant_allows_what_the_table_says_and_nothing_else(held: Action, given_scope: str) -> None:
    person = somebody(Grant(scope=given_scope, action=held))
    for action, service in itertools.product(Action, ["web", ""]):
        covers = given_scope == GLOBAL or (given_scope == "service:web" and service == "web")
        is_about_services = action not in GLOBAL_ONLY or service == ""
        assert person.may(action, service) == (action in GIVES[held] and covers and is_about_services), (
            action, service,
        )  # fmt: skip


def test_every_action_has_its_place_in_the_table() -> None:
    assert set(GIVES) == set(ALLOWS) == set(Action)


def test_what_is_implied_implies_no_more_than_what_implies_it() -> None:
    for action in Action:
        for implied in implied_by(action):
            assert set(implied_by(implied)) <= set(implied_by(action))


def test_what_is_about_no_service_can_only_be_had_in_global() -> None:
    assert {A.PULL_NEW_IMAGE, A.ADD_NEW_SERVICE} == GLOBAL_ONLY
    for held, action in itertools.product([A.ADMIN, *GLOBAL_ONLY], GLOBAL_ONLY):
        person = somebody(Grant(scope="service:web", action=held))
        assert not person.may(action) and not person.may(action, "web")


def test_without_a_grant_nothing_is_allowed() -> None:
    assert not any(somebody().may(action, service) for action in Action for service in ("", "web"))


def test_a_right_ends_at_its_time_and_not_before() -> None:
    grant = Grant(scope=GLOBAL, action=A.DEPLOY, expires_at=NOW)
    assert grant.is_valid(NOW - timedelta(microseconds=1))
    assert not grant.is_valid(NOW)
    assert somebody(grant.model_copy(update={"expires_at": SOON})).may(A.DEPLOY, "web")
    assert not somebody(grant.model_copy(update={"expires_at": PAST})).may(A.DEPLOY, "web")


def test_no_service_of_any_name_stands_for_global() -> None:
    person = somebody(Grant(scope=scope_of("global"), action=A.ADMIN))
    assert person.may(A.ADMIN, "global") and not person.may(A.ADMIN)


@given(st.text(max_size=30))
def test_a_scope_names_its_service(name: str) -> None:
    assert service_of(scope_of(name)) == name


@given(st.lists(grants, max_size=5), st.sampled_from(Action), st.sampled_from(["", "web", "shop"]))
def test_rights_add_up_and_none_takes_another_away(held: list[Grant], action: Action, service: str) -> None:
    each = [somebody(grant).may(action, service) for grant in held]
    assert somebody(*held).may(action, service) == any(each)


@given(
    st.lists(grants, max_size=5), st.sampled_from(Action), st.sampled_from([GLOBAL, "service:web"]),
    st.sampled_from([None, SOON - timedelta(minutes=1), SOON + timedelta(minutes=1)]),
)  # fmt: skip
def test_nobody_gives_what_they_do_not_hold_for_as_long(
    held: list[Grant], action: Action, scope: str, until: datetime | None
) -> None:
    if not somebody(*held).may_grant(action, scope, until):
        return
    service = service_of(scope)
    lasting = [g for g in held if g.expires_at is None or (until is not None and until <= g.expires_at)]
    assert somebody(*lasting).may(A.ADMIN, service) and somebody(*lasting).may(action, service)


@pytest.mark.parametrize(("until_mine", "until_theirs", "may"), [
    (None, None, True), (None, SOON, True), (SOON, SOON, True), (SOON, SOON - timedelta(minutes=1), True),
    (SOON, None, False), (SOON, SOON + timedelta(seconds=1), False), (PAST, PAST, False),
])  # fmt: skip
def test_an_admin_for_a_time_gives_rights_for_that_time_only(
    until_mine: datetime | None, until_theirs: datetime | None, may: bool
) -> None:
    admin = somebody(Grant(scope="service:web", action=A.ADMIN, expires_at=until_mine))
    assert admin.may_grant(A.DEPLOY, "service:web", until_theirs) is may
    assert not admin.may_grant(A.DEPLOY, "service:shop", until_theirs)
    assert not admin.may_grant(A.DEPLOY, GLOBAL, until_theirs)


@pytest.mark.parametrize("held", [action for action in Action if action is not A.ADMIN])
def test_only_an_admin_of_the_scope_gives_rights_in_it(held: Action) -> None:
    assert not somebody(Grant(scope=GLOBAL, action=held)).may_grant(held, "service:web", None)


def test_the_page_has_a_row_for_every_action_with_what_it_implies() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*?) \|$", (docs.DOCS / "permissions.md").read_text(), re.M))
    assert set(rows) == set(Action)
    for action, implied in rows.items():
        named = set(re.findall(r"`(\w+)`", implied))
        assert implied == "everything" if action == "admin" else named == GIVES[Action(action)] - {action}
