"""Dashboard, alerts and docs speak only of metrics, labels and commands that there are, and the docs of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bot.cli import o8
from tests.handlers.scraping import Page, full_page

ROOT = Path(__file__).parent.parent
GRAFANA = ROOT / "examples/grafana/orchestr8.json"
PROMETHEUS = ROOT / "examples/prometheus"
BY_PROMETHEUS = {"instance", "job"}  # labels it puts on what it reads
SELECTOR = re.compile(r"\b((?:o8|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return dict(json.loads(GRAFANA.read_text()))


@pytest.fixture
async def page(tmp_path: Path) -> Page:
    return await full_page(tmp_path)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]


def expressions() -> Iterator[str]:
    board = json.loads(GRAFANA.read_text())
    yield from (target["expr"] for panel in panels(board) for target in panel["targets"])
    yield from (v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query")
    yield from (rule["expr"] for rule in rules())


def complaints(expression: str, page: Page) -> list[str]:
    """What in a PromQL expression there is not."""
    found, known = [], set(BY_PROMETHEUS)
    for name, matchers in SELECTOR.findall(expression):
        if name not in page:
            found.append(f"no metric {name}")
            continue
        samples = page.labels(name)
        known |= set(samples[0])
        for label, operator, value in MATCHER.findall(matchers):
            if label in BY_PROMETHEUS or value.startswith("$"):
                continue
            values = {sample.get(label) for sample in samples}
            wanted = value.split("|") if "~" in operator else [value]
            found += [f"{name} has no {label}={each}" for each in wanted if each not in values]
    groupings = {label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")}
    return found + [f"no label {label}" for label in groupings - known]


async def test_dashboard_and_alerts_ask_only_for_what_there_is(page: Page) -> None:
    wrong = {expression: said for expression in expressions() if (said := complaints(expression, page))}
    assert not wrong


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("o8_deployment_total", "no metric o8_deployment_total"),
        ('o8_deployments_total{ending="broken"}', "o8_deployments_total has no ending=broken"),
        ('o8_deployments_total{state=~"failed|x"}', "o8_deployments_total has no state=failed"),
        ("sum by (verdict) (o8_deployments_total)", "no label verdict"),
    ],
)
async def test_the_check_can_fail(page: Page, expression: str, said: str) -> None:
    assert said in complaints(expression, page)


async def test_the_docs_name_every_metric_with_its_labels(page: Page) -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    table = {
        name: set(re.findall(r"`([a-z_]+)`", labels.partition(":")[0]))
        for name, labels in re.findall(r"^\| `(o8_[a-z_]+)` \|([^|]*)\|", text, re.MULTILINE)
    }
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in page.families.values()
        if family.name.startswith("o8_")
    }
    assert table == shown
    for name, labels in re.findall(r"^\| `(o8_[a-z_]+)` \| `[a-z]+`: ([^|]*) \|", text, re.MULTILINE):
        assert set(re.findall(r"`([a-z_]+)`", labels)) == {next(iter(found.values())) for found in page.labels(name)}


async def test_every_metric_is_shown_or_watched(page: Page) -> None:
    """What nobody looks at is not worth counting."""
    asked = {name for expression in expressions() for name, _ in SELECTOR.findall(expression)}
    families = {family.name for family in page.families.values() if family.name.startswith("o8_")}
    assert not {family for family in families if not any(name.startswith(family) for name in asked)}


def test_the_dashboard_can_be_loaded_anywhere(board: dict[str, Any]) -> None:
    assert (board["title"], board["uid"]) == ("Orchestr8", "orchestr8")
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["title"] and panel["targets"] and panel["datasource"] == source
        assert {json.dumps(target["datasource"]) for target in panel["targets"]} == {json.dumps(source)}
    used = set(re.findall(r"\$\{?([a-z]+)\b", GRAFANA.read_text()))
    assert used <= set(variables)


def test_panels_have_names_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & places, panel["title"]
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])


def test_alerts_say_what_to_do_with_commands_that_there_are() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 5
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        for words in re.findall(r"`o8 ([^`]*)`", rule["annotations"]["description"]):
            assert isinstance(o8, click.Group) and words.split()[0] in o8.commands, words


def test_prometheus_reads_a_token_from_a_file_and_the_alerts_beside_it() -> None:
    found = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    (job,) = found["scrape_configs"]
    assert job["authorization"]["type"] == "Bearer" and job["authorization"]["credentials_file"].startswith("/")
    assert job.get("metrics_path", "/metrics") == "/metrics"
    assert [(PROMETHEUS / name).is_file() for name in found["rule_files"]] == [True]
    assert f'up{{job="{job["job_name"]}"}}' in (PROMETHEUS / "alerts.yml").read_text()
