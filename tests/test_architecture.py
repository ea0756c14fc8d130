"""The house stays as docs/architecture.md draws it: who may import whom, and what a file may look like."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up. A module imports from layers below its own, or from its own package (a folder).
# A name stands for the module and everything inside it; the longest one that fits counts.
LAYERS: tuple[tuple[str, ...], ...] = (
    # The folders' own files are empty.
    ("bot", "bot.packages", "bot.safekeeping", "bot.errors", "bot.version", "bot.problems", "handlers"),
    ("bot.configuration", "bot.environment", "bot.permissions"),
    ("bot.models", "bot.settings", "bot.webhooks"),
    ("bot.accounts", "bot.chat"),
    ("bot.engines", "bot.addresses", "bot.tags", "bot.run", "bot.routes", "bot.github", "bot.pem"),
    ("bot.importing", "bot.findings", "bot.installation", "bot.packages.versions", "bot.packages.proposal"),
    ("bot.engines.docker", "bot.nginx", "bot.registry", "bot.store", "bot.vault", "bot.health", "bot.drain",
     "bot.outage", "bot.clock", "bot.passwords", "bot.memory", "bot.installer", "bot.supervisor"),
    ("bot.pruning", "bot.certificates"),
    ("bot.candidate", "bot.resolver", "bot.traffic", "bot.authority", "bot.logins", "bot.observer", "bot.images",
     "bot.packages.offers"),
    ("bot.deployer",),
    ("bot.worker", "bot.notifiers"),
    ("bot.follower", "bot.disks", "bot.reconciler", "bot.operations", "bot.doctor", "bot.logs", "bot.hooks",
     "bot.safekeeping.backup", "bot.safekeeping.rotation", "bot.packages.catalogue"),
    ("bot.packages.arrivals", "bot.github_check"),
    ("bot.inbox", "bot.safekeeping.restore", "bot.packages.listing"),
    ("bot.figures",),
    ("bot.services",),
    ("handlers.commands", "handlers.errors"),
    ("handlers.chatops", "handlers.auth"),
    ("handlers.access", "handlers.streams"),
    ("handlers.cors", "handlers.live_logs"),
    ("handlers.api", "handlers.orchestr8", "handlers.github", "handlers.health", "handlers.metrics", "handlers.slack"),
    ("handlers.web",),
    ("handlers.application",),
    ("bot.app",),
    ("bot.cli",),
    ("bot.__main__",),
)  # fmt: skip

# Each outside library, and who may import it. pydantic and orjson are our types and our JSON: everybody may.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "pydantic": ("bot", "handlers"), "pydantic_core": ("bot.problems", "bot.tags"), "orjson": ("bot", "handlers"),
    "docker": ("bot.engines.docker",), "requests": ("bot.engines.docker",), "urllib3": ("bot.engines.docker",),
    "jinja2": ("bot.nginx", "handlers.web"), "crossplane": ("bot.nginx",),
    "click": ("bot.cli",), "rich": ("bot.cli",),
    "cryptography": ("bot.vault", "bot.pem"), "jwt": ("bot.github",), "argon2": ("bot.passwords",),
    "dotenv": ("bot.environment",), "semver": ("bot.tags",),
    "sqlite_utils": ("bot.store",), "sqlite3": ("bot.store",),
    "aiohttp": ("bot.app", "bot.health", "bot.clock", "bot.registry", "bot.github", "bot.nginx",
                "bot.notifiers.slack", "bot.cli", "handlers"),
    "yarl": ("bot.clock", "bot.registry", "bot.github", "bot.cli"),
    "slack_sdk": ("bot.notifiers.slack", "handlers.slack"), "slack_bolt": ("handlers.slack",),
    "prometheus_client": ("handlers.metrics",),
    # Docker is spoken to over its socket, never by its command.
    "subprocess": ("bot.nginx", "bot.installer", "bot.certificates"),
}  # fmt: skip

LONG_FILES: dict[str, str] = {}  # over 300 lines: name -> why
LONG_FUNCTIONS: dict[str, str] = {}  # over 45 lines: name -> why
CATCHES_EVERYTHING = {
    "bot.app": "an endless part that ends is logged, and begun again",
    "bot.doctor": "one illness must not hide the others",
    "bot.worker": "a fault of o8 itself ends one deployment, not all",
    "handlers.chatops.desk": "a command that fails inside o8 is answered with a reference to the log",
    "handlers.errors": "the one place where an unforeseen failure becomes an answer",
}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc", "manager"}


def modules(*trees: str) -> dict[str, Path]:
    found = {}
    for path in sorted(file for tree in trees for file in (ROOT / tree).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


PRODUCT = modules("bot", "handlers")
EVERYTHING = modules("bot", "handlers", "lab", "tests")


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            # `from bot import tags` means bot.tags; `from bot.errors import O8Error` means bot.errors.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in PRODUCT else str(node.module) for name in names)


def place(module: str) -> tuple[int, str]:
    """Layer of a module, and the name in `LAYERS` that says so."""
    fitting = [
        (level, name)
        for level, names in enumerate(LAYERS)
        for name in names
        if module == name or (module.startswith(f"{name}.") and name not in ("bot", "handlers"))
    ]
    assert fitting, f"{module} has no layer: give it one in LAYERS and in docs/architecture.md"
    return max(fitting, key=lambda one: len(one[1]))


def is_within(module: str, owners: tuple[str, ...]) -> bool:
    return any(module == owner or module.startswith(f"{owner}.") for owner in owners)


@pytest.mark.parametrize("module", PRODUCT)
def test_imports_point_down_only(module: str) -> None:
    level, own = place(module)
    for imported in imports(PRODUCT[module]):
        if imported in PRODUCT:
            below, theirs = place(imported)
            assert below < level or (theirs == own and PRODUCT[module].parent != ROOT / "bot"), (
                f"{module} imports {imported}, which is not below it"
            )


def test_every_name_of_the_table_exists() -> None:
    assert {name for names in LAYERS for name in names} <= set(PRODUCT)


@pytest.mark.parametrize("module", PRODUCT)
def test_only_the_composition_root_imports_handlers(module: str) -> None:
    if module != "bot.app" and not is_within(module, ("handlers",)):
        assert not [name for name in imports(PRODUCT[module]) if is_within(name, ("handlers",))]


@pytest.mark.parametrize("module", PRODUCT)
def test_an_outside_library_is_imported_by_its_adapter_only(module: str) -> None:
    for imported in imports(PRODUCT[module]):
        library = imported.partition(".")[0]
        if (library in sys.stdlib_module_names and library not in LIBRARIES) or library in ("bot", "handlers"):
            continue
        assert library in LIBRARIES, f"{module} imports {library}, which has no adapter in LIBRARIES"
        assert is_within(module, LIBRARIES[library]), f"{module} imports {library}: it belongs to {LIBRARIES[library]}"


def test_no_library_is_listed_that_nobody_imports() -> None:
    used = {name.partition(".")[0] for path in PRODUCT.values() for name in imports(path)}
    assert {library for library, owners in LIBRARIES.items() if owners} <= used


@pytest.mark.parametrize("module", EVERYTHING)
def test_a_module_is_named_after_its_subject(module: str) -> None:
    assert not NO_NAMES & set(module.split("."))
    assert "Manager" not in " ".join(re.findall(r"^class (\w+)", EVERYTHING[module].read_text(), re.MULTILINE))


@pytest.mark.parametrize("module", PRODUCT)
def test_a_module_says_what_it_is_for(module: str) -> None:
    text = PRODUCT[module].read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip()


@pytest.mark.parametrize("module", EVERYTHING)
def test_files_and_functions_are_short(module: str) -> None:
    text = EVERYTHING[module].read_text()
    limit = 300 if module in PRODUCT else 600
    assert len(text.splitlines()) <= limit or module in LONG_FILES, f"{module} has more than {limit} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 45 or f"{module}.{node.name}" in LONG_FUNCTIONS, f"{module}.{node.name}: {length} lines"


def catches(path: Path) -> Iterator[ast.ExceptHandler]:
    """Handlers of `Exception`, or of anything."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if re.search(r"\b(Base)?Exception\b", caught):
                yield node


@pytest.mark.parametrize("module", PRODUCT)
def test_nothing_catches_everything_and_keeps_quiet(module: str) -> None:
    for handler in catches(PRODUCT[module]):
        cleans_up = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
        assert cleans_up or module in CATCHES_EVERYTHING, f"{module}, line {handler.lineno}"


def test_every_listed_exception_to_that_is_needed() -> None:
    assert {module for module in PRODUCT if list(catches(PRODUCT[module]))} >= set(CATCHES_EVERYTHING)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_a_lock_names_hashes_and_no_place(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    assert any("--hash=sha256:" in line for line in lines)
    content = [line for line in lines if not line.lstrip().startswith("#")]
    assert not [line for line in content if re.search(r"https?:|file:|--index-url|--find-links|@ ", line)]
    assert not re.search(r"https?://|/root/|/home/", lock.read_text())


@pytest.mark.parametrize("path", ["Makefile", "Procfile", "pyproject.toml", ".ci/run", "lab/setup.sh"])
def test_no_path_of_one_machine_is_in_what_builds_it(path: str) -> None:
    if (ROOT / path).is_file():
        assert not re.search(r"/(root|home|work|Users)/|find-links|extra-index", (ROOT / path).read_text())


def test_the_checks_can_fail(tmp_path: Path) -> None:
    """The control: a file that breaks the rules is seen by the same functions."""
    bad = tmp_path / "bad.py"
    bad.write_text("from bot import app\nimport docker\ntry:\n    pass\nexcept Exception:\n    pass\n")
    assert set(imports(bad)) == {"bot.app", "docker"}
    assert len(list(catches(bad))) == 1
    assert place("bot.store.connection")[1] == "bot.store"
    assert place("bot.engines.docker.pull")[1] == "bot.engines.docker"
    with pytest.raises(AssertionError, match="has no layer"):
        place("bot.unknown")
