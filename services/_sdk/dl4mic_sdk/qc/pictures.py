# SPDX-License-Identifier: BSD-3-Clause
"""The pictures of a quality control: the worst image, the best, and some between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, Sequence, Tuple

from dl4mic_sdk.qc.kind import Kind
from dl4mic_sdk.qc.panels import Panel, save_png
from dl4mic_sdk.qc.result import ImageRow, QcResult

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.pairs import Item
    from dl4mic_sdk.task import QcTask

PANELS = "panels"
MOST_PANELS = 8
"""Worst, best, and others spread evenly between them."""

CaptionedPanel = Tuple[str, Panel]


def draw_panels(result: QcResult, task: QcTask, ctx: Context) -> List[CaptionedPanel]:
    """Draw some images of a result into the folder `PANELS`; return them for the report."""
    folder = task.output / PANELS
    folder.mkdir(exist_ok=True)
    drawn = []
    for caption, item in _chosen(result, task.items):
        ctx.raise_if_stopping()
        sample = result.candidate.sample(item, result.kind, task.sources)
        panel = result.kind.panel(result.candidate.with_source(sample, item, task.sources))
        save_png(panel, folder / (item.name + ".png"))
        drawn.append((caption, panel))
    ctx.artifact(PANELS, "pictures of the worst, the best and other images")
    return drawn


def _chosen(result: QcResult, items: Sequence[Item]) -> Iterator[Tuple[str, Item]]:
    """Choose worst, best, and images spread evenly between them by rank."""
    ranked = result.ranked()
    by_name = {item.name: item for item in items}
    last = len(ranked) - 1
    count = min(MOST_PANELS, len(ranked))
    places = sorted({round(step * last / max(1, count - 1)) for step in range(count)})
    order = places if last < 1 else [places[0], places[-1], *places[1:-1]]
    for place in order:
        yield _caption(place, last, ranked[place], result.kind), by_name[ranked[place].name]


def _caption(place: int, last: int, row: ImageRow, kind: Kind) -> str:
    rank = next(each for each in kind.definitions if each.id == kind.rank_by)
    value = row.numbers[kind.rank_by] or 0.0
    which = {0: "Worst image", last: "Best image"} if last else {0: "The image"}
    said = which.get(place, "Rank {} of {} from the worst".format(place + 1, last + 1))
    return "{}: {} ({} {:.3f})".format(said, row.name, rank.title, value)
