"""How tasks are declared here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from invoke.tasks import Task, task


# invoke would give every flag a letter by its own lights, `--` among them; long flags read better in scripts
class _OurTask(Task[Callable[..., None]]):
    """A task with the one short flag that everybody expects: `-l` for a label, as in kubectl and helmfile."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `Task`."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        return {**options, "names": (name, "l")} if name == "label" else options


our_task = functools.partial(task, klass=_OurTask, auto_shortflags=False)
