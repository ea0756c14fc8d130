"""Which version of o8 this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """As installed; `development` when o8 runs from a folder that was never installed."""
    try:
        return metadata.version("orchestr8")
    except metadata.PackageNotFoundError:
        return "development"
