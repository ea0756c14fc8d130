"""docs/github.md quotes what `o8 github check` says."""

from __future__ import annotations

import re

import pytest

from lab.docs import DOCS

PAGE = (DOCS / "github.md").read_text()
TABLE = PAGE.partition("## Why does nothing arrive?")[2].partition("\n## ")[0]
QUOTED = [row.split("|")[1].strip() for row in TABLE.splitlines() if row.startswith("| ")][1:]
SAID = "".join(file.read_text() for file in sorted((DOCS.parent / "bot/hooks").glob("*.py")))


def test_there_is_such_a_table() -> None:
    assert len(QUOTED) > 10


@pytest.mark.parametrize("quoted", QUOTED)
def test_what_the_page_quotes_is_said(quoted: str) -> None:
    assert all(part.strip() in SAID for part in re.split(r"\.\.\.|;", quoted))
