"""What an import would do, beside what is in o8 already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.accounts import User
from bot.configuration import read
from bot.importing import OldRight, OldService, OldUser, Original, Outcome, PlannedService, PlannedUser
from bot.importing.plan import Draft, Here, draft
from bot.models import Service
from bot.permissions import GLOBAL, Action, Grant
from tests.importing.test_users import HASH

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = {"containerPort": "3000", "image": "ghcr.io/acme/web:0005"}
NOBODY: tuple[User, ...] = ()


def service(name: str = "web", **more: Any) -> Service:
    file = read({"name": name, "image": "ghcr.io/acme/web", "port": 3000} | more)
    return Service(name=name, configuration=file, block=1, created_at=NOW)


def user(name: str, *rights: tuple[Action, str], has_password: bool = True) -> User:
    grants = tuple(Grant(action=action, scope=scope) for action, scope in rights)
    return User(username=name, created_at=NOW, grants=grants, has_password=has_password)


def old(name: str = "web", environment: str = "", **config: Any) -> OldService:
    return OldService(name=name, config=CONFIG | config, environment=environment)


def ada(*rights: tuple[str, str], **more: Any) -> OldUser:
    permissions = tuple(OldRight(scope=scope, action=action) for scope, action in rights)
    return OldUser(**{"username": "ada", "hash": HASH, "permissions": permissions} | more)


def made(
    *found: OldService | OldUser, services: Sequence[Service] = (), users: Sequence[User] = NOBODY,
    images: Mapping[str, str] = {},
) -> Draft:  # fmt: skip
    olds = tuple(each for each in found if isinstance(each, OldService))
    people = tuple(each for each in found if isinstance(each, OldUser))
    return draft(Original(services=olds, users=people), Here(services, users, "admin", images))


def services(found: Draft) -> dict[str, PlannedService]:
    return {each.shown.original: each.shown for each in found.services}


def the_user(found: Draft) -> PlannedUser:
    return found.users[0].shown


# -- services


def test_a_new_service_is_added_with_the_names_of_its_environment_alone() -> None:
    found = made(old(environment="# of web\nTOKEN=canary\nA=1\n"))
    web = services(found)["web"]
    assert (web.outcome, web.tag, web.variables) == (Outcome.TO_ADD, "0005", ("TOKEN", "A"))
    assert "canary" not in str(web) and "canary" in found.services[0].environment


def test_what_is_here_stays_as_it_is() -> None:
    there = service(limits={"memory": "2g"}, domains=["other.example.org"])
    web = services(made(old(memoryLimit="64m", environment="A=1"), services=[there.model_copy(update={"live": 3})]))
    assert web["web"] == PlannedService(original="web", name="web", outcome=Outcome.AS_IT_IS)


def test_another_image_under_the_same_name_is_said() -> None:
    web = services(made(old(environment="A=1"), services=[service(image="ghcr.io/acme/other")]))["web"]
    assert (web.outcome, web.variables) == (Outcome.AS_IT_IS, ())
    assert web.warnings == ("here it runs another image: ghcr.io/acme/other",)


def test_only_the_environment_is_added_where_a_kill_parted_the_two() -> None:
    web = services(made(old(environment="A=1"), services=[service()]))["web"]
    assert (web.outcome, web.configuration, web.variables) == (Outcome.TO_ADD, None, ("A",))
    given = service().model_copy(update={"environment_revision": 2})
    assert services(made(old(environment="A=1"), services=[given]))["web"].outcome is Outcome.AS_IT_IS


@pytest.mark.parametrize("environment", ["A=1\nno assignment here canary\n", "A=canary\0", "A=1\n" * 70_000])
def test_an_environment_that_cannot_be_read_refuses_the_service_and_echoes_nothing(environment: str) -> None:
    found = services(made(old(environment=environment), old("other")))
    assert found["web"].outcome is Outcome.REFUSED and found["web"].error
    assert "canary" not in str(found)
    assert found["other"].outcome is Outcome.TO_ADD


def test_two_folders_that_o8_would_call_the_same_are_not_mixed_up() -> None:
    found = services(made(old("web_app"), old("web-app"), old("Web_App")))
    assert {name: one.outcome for name, one in found.items()} == {
        "web-app": Outcome.TO_ADD, "web_app": Outcome.REFUSED, "Web_App": Outcome.REFUSED
    }  # fmt: skip
    assert "o8 calls it 'web-app', as it does 'web-app'" in found["web_app"].error


def test_another_name_is_said() -> None:
    web = services(made(old("Web_App")))["Web_App"]
    assert (web.name, web.warnings[0]) == ("web-app", "o8 calls it web-app")
    assert services(made(old("__")))["__"].outcome is Outcome.REFUSED


def test_a_domain_or_port_of_somebody_else_is_refused() -> None:
    domain, port = {"domain": "web.example.org"}, {"hostPort": "8080"}
    here = [service("shop", domains=["web.example.org"], host_port="127.0.0.1:8080")]
    for clash in (domain, port):
        web = services(made(old(**clash), services=here))["web"]
        assert web.outcome is Outcome.REFUSED and "already belongs to shop" in web.error
        both = services(made(old("a", **clash), old("b", **clash)))
        assert [one.outcome for one in both.values()] == [Outcome.TO_ADD, Outcome.REFUSED]


def test_the_way_to_the_cut_over_with_a_domain() -> None:
    web = services(made(old(domain="web.example.org", hostPort="8080"), images={"web": "ghcr.io/acme/web:0005"}))["web"]
    assert web.next_steps == (
        "look whether the container has volumes: docker inspect -f '{{json .Mounts}}' web",
        "move the original's nginx file for web.example.org out of nginx's folders, and do not reload nginx",
        "o8 deploy web 0005",
        "look at it, then: docker update --restart=no web && docker stop web",
        'o8 service show web | sed \'s/auto_deploy = "off"/auto_deploy = "on"/\' | o8 service apply -',
    )


def test_the_way_to_the_cut_over_with_a_port_ends_with_the_port() -> None:
    web = services(made(old(hostPort="8080"), images={"web": "ghcr.io/acme/web:main"}))["web"]
    assert web.configuration and web.configuration.host_port == ""
    assert [step.partition(" web")[0] for step in web.next_steps[1:3]] == [
        "o8 deploy", "look at it, then: docker update --restart=no"
    ]  # fmt: skip
    assert web.next_steps[3] == "o8 service show web | sed '1i host_port = \"8080\"' | o8 service apply -"


# -- users


def test_a_user_is_added_with_the_hash_and_the_rights_in_our_words() -> None:
    rights = [("service:web", "view_config"), ("global", "edit_config"), ("web", "manage"), ("service:web", "viewLogs")]
    found = made(old(), ada(*rights, username="Ada"))
    shown = the_user(found)
    assert (shown.outcome, shown.username, shown.has_password) == (Outcome.TO_ADD, "ada", True)
    assert [(right.action, right.scope) for right in shown.rights] == [
        (Action.VIEW_CONFIGURATION, "service:web"), (Action.EDIT_CONFIGURATION, GLOBAL), (Action.MANAGE, "service:web"),
        (Action.VIEW_LOGS, "service:web"),
    ]  # fmt: skip
    assert found.users[0].hash == HASH and "argon2" not in str(shown)


def test_rights_follow_a_service_to_its_new_name() -> None:
    found = the_user(made(old("Web_App"), ada(("service:Web_App", "manage"))))
    assert [right.scope for right in found.rights] == ["service:web-app"]


@pytest.mark.parametrize(("scope", "action"), [
    ("*", "manage"), ("", "manage"), ("all", "manage"), ("service:*", "manage"), ("service:gone", "manage"),
    ("service:web", "fly"), ("service:web", "add_new_service"), ("service:shop", "manage"), ("GLOBAL", "manage"),
    ("service:Web", "manage"), ("service:web-app", "manage"),
])  # fmt: skip
def test_a_right_that_may_mean_more_than_it_says_is_not_given(scope: str, action: str) -> None:
    """The original has no folder of `shop`, and o8 calls its `web_app` `web-app`."""
    found = the_user(made(old(), old("web_app"), ada((scope, action)), services=[service("shop")]))
    assert found.rights == () and len(found.warnings) == 1


def test_rights_in_a_refused_folder_do_not_go_to_the_one_that_has_its_name() -> None:
    found = the_user(made(old("web-app"), old("web_app"), ada(("service:web_app", "manage"))))
    assert found.rights == () and "no such service" in found.warnings[0]


def test_an_admin_of_the_original_is_admin_of_everything() -> None:
    found = the_user(made(ada(is_admin=True)))
    assert [(right.action, right.scope) for right in found.rights] == [(Action.ADMIN, GLOBAL)]


def test_who_is_here_stays_and_is_given_nothing() -> None:
    """It may be another person of that name."""
    there = user("ada", (Action.DEPLOY, "service:web"), has_password=False)
    found = made(old(), ada(("service:web", "manage"), ("service:web", "view_status"), is_admin=True), users=[there])
    shown = the_user(found)
    assert (shown.outcome, shown.rights, found.users[0].hash) == (Outcome.AS_IT_IS, (), "")
    assert shown.warnings == (
        "had admin in global there: o8 user grant ada admin global",
        "had manage in service:web there: o8 user grant ada manage service:web",
        "has no password here: o8 user password ada",
    )


def test_the_admin_of_the_settings_and_who_was_shut_out_are_left_out() -> None:
    assert the_user(made(ada(username="Admin", is_admin=True))).outcome is Outcome.LEFT_OUT
    shut_out = the_user(made(ada(is_active=False, is_admin=True)))
    assert (shut_out.outcome, shut_out.rights) == (Outcome.LEFT_OUT, ())


@pytest.mark.parametrize("name", ["ada lovelace", "ada@example.org", "-ada", "a" * 64, "ädä", "ada\0", "slack:T1:U1"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    found = the_user(made(ada(username=name)))
    assert (found.outcome, found.rights) == (Outcome.REFUSED, ()) and "cannot be a username" in found.error


def test_names_that_differ_in_capitals_alone_are_not_mixed_up() -> None:
    found = made(ada(username="Ada", is_admin=True), ada())
    assert [(each.shown.original, each.shown.outcome) for each in found.users] == [
        ("ada", Outcome.TO_ADD), ("Ada", Outcome.REFUSED)
    ]  # fmt: skip


def test_a_hash_that_cannot_be_used_leaves_the_user_without_password() -> None:
    found = made(ada(hash="$2b$10$abc"))
    assert (the_user(found).has_password, found.users[0].hash) == (False, "")
    assert the_user(found).warnings == ("the password's hash is none that o8 can use: o8 user password ada",)


@given(st.lists(st.builds(OldService, name=st.text(max_size=10), config=st.just(CONFIG), environment=st.text()),
                max_size=5),
       st.lists(st.builds(OldUser, username=st.text(max_size=8), is_admin=st.booleans(), permissions=st.lists(
           st.builds(OldRight, scope=st.text(max_size=12), action=st.sampled_from([*Action, "x"])), max_size=3
       ).map(tuple)), max_size=5))  # fmt: skip
def test_every_plan_is_one_that_can_be_carried_out(olds: list[OldService], people: list[OldUser]) -> None:
    found = made(*olds, *people)
    assert len(found.services) == len(olds) and len(found.users) == len(people)
    for group in (found.services, found.users):
        names = [
            getattr(each.shown, "name", "") or getattr(each.shown, "username", "")
            for each in group
            if each.shown.outcome is Outcome.TO_ADD
        ]
        assert len(set(names)) == len(names) and all(names)
