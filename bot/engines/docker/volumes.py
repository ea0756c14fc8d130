"""Folders for volumes: made inside `volumes_dir`, and only there."""

from __future__ import annotations

from pathlib import Path

from bot.configuration import Configuration
from bot.engines.docker.allow import volume_folder
from bot.errors import EngineError


def make_folders(volumes_dir: Path, service: str, configuration: Configuration) -> None:
    """Makes the folders of a service's volumes. Raises `EngineError` when one leads elsewhere or fails.

    Nobody else gets past the service's own folder (0700); below it, any user of a container may write.
    """
    for volume in configuration.volumes:
        folder = volume_folder(volumes_dir, service, volume.name)
        try:
            volumes_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            _refuse_escape(volumes_dir, folder)
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o777)
        except OSError as error:
            raise EngineError(f"The volume folder {folder} cannot be made: {error.strerror}.") from error


def _refuse_escape(volumes_dir: Path, folder: Path) -> None:
    """`volumes_dir` itself may be a link of the administrator's; below it, a link could lead anywhere."""
    if folder.resolve() != volumes_dir.resolve() / folder.relative_to(volumes_dir):
        raise EngineError(
            f"The volume folder {folder} is a link to another place.", "Replace the link by a real folder."
        )
