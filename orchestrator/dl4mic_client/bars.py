# SPDX-License-Identifier: BSD-3-Clause
"""A bar on the terminal with a line of text below it, so that both fit into 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

_BAR_WIDTH = 24
_INDENT = 2


class BarWithText(Progress):
    """One bar, and `below` it a text, which is wrapped where it is long."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bar, then the text."""
        yield self.make_tasks_table(self.tasks)
        if self.below:
            yield Padding(Text(self.below), (0, 0, 0, _INDENT))


def open_bar(console: Console, *, transient: bool) -> BarWithText:
    """Start to draw a bar whose tasks have the fields `amount` and `left`.

    Parameters
    ----------
    console : rich.console.Console
        Where to draw it.
    transient : bool
        Wipe it out when it stops.
    """
    bar = BarWithText(*_columns(), console=console, transient=transient)
    bar.start()
    return bar


def _columns() -> Iterable[ProgressColumn]:
    yield SpinnerColumn(finished_text=" ")
    yield TextColumn("{task.description}", table_column=Column(no_wrap=True))
    yield BarColumn(bar_width=_BAR_WIDTH)
    yield TextColumn("{task.fields[amount]}", table_column=Column(no_wrap=True))
    yield TimeElapsedColumn()
    yield TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True))
