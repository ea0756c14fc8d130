"""For schemathesis itself, which loads it by SCHEMATHESIS_HOOKS: a log is asked for, but not followed for ever."""

from __future__ import annotations

from typing import Any

import schemathesis

_TRUE = ("1", "true", "t", "yes", "y", "on")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What makes no sense stays, so that it is seen to be refused."""
    if case.query and str(case.query.get("follow")).lower() in _TRUE:
        case.query["follow"] = "false"
