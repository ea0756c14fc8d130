"""A deployment on a terminal, in bars."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from bot.cli.output import Record, megabytes
from bot.cli.watching import WENT_WRONG
from bot.models import State


class Bars:
    """For terminals: one bar for each step, filled by bytes while the image is pulled."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="+"), TextColumn("{task.description}", markup=False), BarColumn(bar_width=30),
            TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(),
        )  # fmt: skip
        self._tasks: list[TaskID] = []
        self._progress.start()

    def show(self, found: Record) -> None:
        for index, step in enumerate(found["steps"]):
            if index == len(self._tasks):
                self._tasks.append(self._progress.add_task(f"{step['state']:<10}", total=None, note=""))
            task = self._tasks[index]
            if step["ended_at"] and not self._progress.tasks[task].finished:
                is_last = index == len(found["steps"]) - 1
                note = found["state"] if is_last and State(found["state"]) in WENT_WRONG else ""
                self._progress.update(task, total=1, completed=1, note=note)
            elif step["state"] == State.PULLING and not step["ended_at"]:
                self._pull(task, found["progress"])

    def _pull(self, task: TaskID, progress: dict[str, int] | None) -> None:
        if progress and progress["bytes_known"]:
            done, known = progress["bytes_done"], progress["bytes_known"]
            # Never "finished" by bytes: layers are still unpacked then.
            note = f"{megabytes(done)} of {megabytes(known)}"
            self._progress.update(task, total=known, completed=min(done, known - 1), note=note)

    def close(self) -> None:
        self._progress.stop()
