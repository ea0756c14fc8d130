"""The pages say what the code does: tables, examples, states, commands."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from bot.addresses import last_block, replica_address
from bot.configuration import Configuration, read_toml
from bot.deployer import BRING_UP, SETTLE
from bot.models import AFTER_SWITCH, CANCELLABLE, ENDINGS, State
from bot.settings import Settings
from lab import docs
from tests.test_architecture import LAYERS

ROOT = docs.DOCS.parent
BEFORE, BEGUN = "[*]", set(BRING_UP) | set(SETTLE)


def page(name: str) -> str:
    return (docs.DOCS / name).read_text()


@pytest.mark.parametrize("name", docs.PAGES)
def test_tables_are_as_the_code_has_them(name: str) -> None:
    assert page(name) == docs.written(name), "run `make docs`"


def test_every_setting_has_a_row_with_its_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        row = rf"^\| `{name.upper()}`.*\| {re.escape(field.description)} \|$"
        assert re.search(row, page("settings.md"), re.MULTILINE), name


def test_every_key_of_a_service_file_is_explained() -> None:
    definitions = Configuration.model_json_schema()["$defs"]
    keys = [key for model in (Configuration.model_json_schema(), *definitions.values()) for key in model["properties"]]
    sections = {*docs.SECTIONS, "volumes"}
    for key in keys:
        heading = f"## [{key}]" if key != "volumes" else "## [[volumes]]"
        assert (heading if key in sections else f"\n| `{key}` |") in page("services.md"), key


def test_the_examples_of_service_files_are_right() -> None:
    examples = re.findall(r"```toml\n(.*?)```", page("services.md"), re.DOTALL)
    names = [read_toml(example).name for example in examples]
    assert names == ["web", "shop"]
    defaults = read_toml(examples[0]).model_dump()
    assert {key for key, value in read_toml(examples[1]).model_dump().items() if value != defaults[key]} >= {
        "domains", "replicas", "follow", "limits", "health", "site", "volumes",
    }  # fmt: skip


def expected_transitions() -> set[tuple[str, str]]:
    """Every change of state that the code makes, by who makes it."""
    steps = (*BRING_UP, *SETTLE)
    made: dict[str, set[tuple[str, str]]] = {
        "Store.want": {(BEFORE, state) for state in (State.WAITING, State.QUEUED, State.HELD)}
        | {(State.WAITING, State.SUPERSEDED), (State.QUEUED, State.SUPERSEDED)},
        "Store.approve": {(State.WAITING, State.QUEUED), (State.QUEUED, State.SUPERSEDED)},
        "Store.claim": {(State.QUEUED, steps[0]), (State.QUEUED, State.HELD)},
        "Store.expire_queued": {(State.QUEUED, State.FAILED)},
        "Worker.cancel": {(state, State.CANCELLED) for state in CANCELLABLE},
        "Deployer.bring_up, settle": set(itertools.pairwise((*steps, State.SUCCEEDED))),
        "Resolver.resolve": {(State.RESOLVING, State.UNCHANGED), (State.RESOLVING, State.SUPERSEDED)},
        "Deployer._undo": {(state, State.FAILED) for state in BRING_UP},
        "Deployer._start_over": {(state, end) for state in BRING_UP for end in (State.QUEUED, State.SUPERSEDED)},
        "Deployer.pick_up": {(state, SETTLE[0]) for state in AFTER_SWITCH},
        "Deployer._return": {(state, State.ROLLED_BACK) for state in AFTER_SWITCH},
        "Worker._give_up": {(state, State.NEEDS_ATTENTION) for state in BEGUN},
    }
    return {(str(one), str(two)) for changes in made.values() for one, two in changes}


def test_the_state_diagram_has_every_change_of_state() -> None:
    drawn = docs.transitions()
    assert drawn == expected_transitions()


def test_the_state_diagram_has_every_state_and_every_ending_is_explained() -> None:
    drawn = docs.transitions()
    assert {state for pair in drawn for state in pair} - {BEFORE} == {str(state) for state in State}
    assert not {one for one, _ in drawn} & {str(state) for state in ENDINGS}
    for ending in ENDINGS:
        assert f"\n| `{ending}` |" in page("architecture.md")


def test_every_state_that_a_kill_can_meet_is_in_the_table() -> None:
    table = page("architecture.md").partition("## After a kill")[2].partition("## ")[0]
    for state in set(State) - ENDINGS:
        assert f"`{state}`" in table, state


def test_every_module_of_the_layers_is_in_the_architecture() -> None:
    table = page("architecture.md").partition("## Layers")[2].partition("## ")[0]
    for name in {name for names in LAYERS for name in names} - {"bot", "handlers", "bot.version"}:
        assert f"`{name}`" in table, name


def test_the_address_plan_is_as_drawn() -> None:
    drawn = page("architecture.md").partition("## The address plan")[2]
    subnet = Settings.model_fields["o8_subnet"].default
    last = last_block(subnet)
    assert f"{last:,} services" in drawn and f"block {last}, the last" in drawn
    assert f"\n{replica_address(subnet, 1, 'a', 0)}     block 1" in drawn
    assert f"\n{replica_address(subnet, last, 'a', 0)}  block {last}" in drawn


def test_links_between_the_pages_lead_somewhere() -> None:
    for file in [*docs.DOCS.glob("*.md"), *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", Path(ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()):
        assert target in targets, f"README.md says `make {target}`"
