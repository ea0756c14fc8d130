"""Says in words what a checked value should have been: for service files, settings and requests alike. Pure.

To add a grammar: `Annotated[str, matching(PATTERN, "what that means in words")]`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import StringConstraints, ValidationError
from pydantic_core import ErrorDetails

_words_of_pattern: dict[str, str] = {}

# https://docs.pydantic.dev/latest/errors/validation_errors/
_EXPECTED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number", "float_type": "a number", "float_parsing": "a number",
    "finite_number": "a number that is not infinite", "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text", "tuple_type": "a list", "list_type": "a list", "dict_type": "names with values",
    "model_type": "keys with values", "literal_error": "{expected}", "enum": "{expected}",
    "greater_than_equal": "{ge} or more", "greater_than": "more than {gt}", "less_than_equal": "{le} or less",
    "less_than": "less than {lt}", "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters", "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries", "ip_v4_network": "an IPv4 network such as 172.29.0.0/16",
    "datetime_type": "a time such as 2025-01-31T12:00:00Z", "datetime_parsing": "a time such as 2025-01-31T12:00:00Z",
    "datetime_from_date_parsing": "a time such as 2025-01-31T12:00:00Z",
    "datetime_object_invalid": "a time such as 2025-01-31T12:00:00Z",
}  # fmt: skip


class Problem(NamedTuple):
    """One wrong value: where it is, what was found, and a phrase such as `expected a whole number`."""

    path: tuple[str, ...]
    found: Any
    text: str

    @property
    def where(self) -> str:
        return ".".join(self.path)


def matching(pattern: str, words: str, **more: Any) -> StringConstraints:
    """Text of a grammar that `words` describe, such as `letters and digits`; `more` as `StringConstraints` takes."""
    _words_of_pattern[pattern] = words
    return StringConstraints(pattern=pattern, **more)


def in_words(pattern: str) -> str:
    """What the grammar `pattern` means, for the docs; empty when nobody has said it."""
    return _words_of_pattern.get(pattern, "")


def explain(error: ValidationError) -> tuple[Problem, ...]:
    """Every problem that pydantic found, in its order."""
    return tuple(_problem(e) for e in error.errors(include_url=False) if not _is_empty_alternative(e))


def _problem(error: ErrorDetails) -> Problem:
    # Where a value may also be empty, pydantic's path ends in the alternative that it tried.
    path = tuple(str(part) for part in error["loc"] if part != "constrained-str")
    return Problem(path, error["input"], _text(error))


def _text(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a known key"
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if kind in ("too_long", "too_short") and isinstance(error["input"], str):
        kind = f"string_{kind}"
    if kind == "string_pattern_mismatch" and context["pattern"] in _words_of_pattern:
        return "expected " + _words_of_pattern[context["pattern"]]
    return f"expected {_EXPECTED[kind].format(**context)}" if kind in _EXPECTED else error["msg"]


def _is_empty_alternative(error: ErrorDetails) -> bool:
    return error["type"] == "literal_error" and error["loc"][-1:] == ("literal['']",)
