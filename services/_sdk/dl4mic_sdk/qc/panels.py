# SPDX-License-Identifier: BSD-3-Clause
"""Pictures side by side with titles and a legend: on a page, and as PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Colour = Tuple[int, int, int]
Box = Tuple[float, float, float, float]
"""Left, bottom, width, height in inches from the lower left corner of a figure."""

TITLE_HEIGHT = 0.24
LEGEND_HEIGHT = 0.26
TILE_GAP = 0.14
_PNG_TILE_WIDTH = 4.0
_PNG_DPI = 150
_TALLEST_PNG = 40.0
"""Inches; Agg draws no more than 2**16 pixels, and a tall and narrow image would ask for them."""
_MARGIN = 0.15
_MOST_IN_ROW = 4


@dataclass(frozen=True)
class Tile:
    """A titled picture; `pixels` of shape (rows, columns, 3), uint8."""

    title: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Panel:
    """Tiles of equal shape with what their colours mean.

    Attributes
    ----------
    tiles
        From left to right, row by row.
    legend
        Colour (red, green, blue in 0..255) and its meaning.
    note
        A line for below; may be empty.
    """

    tiles: Tuple[Tile, ...]
    legend: Tuple[Tuple[Colour, str], ...] = ()
    note: str = ""

    @property
    def columns(self) -> int:
        """Tiles in a row where there is room: up to four, else half of them."""
        count = len(self.tiles)
        return count if count <= _MOST_IN_ROW else -(-count // 2)

    def height(self, width: float, columns: int) -> float:
        """Height in inches of the panel drawn this wide in this many columns."""
        rows = -(-len(self.tiles) // columns)
        legend = LEGEND_HEIGHT * (bool(self.legend) + bool(self.note))
        return rows * (self._tile_height(width, columns) + TITLE_HEIGHT + TILE_GAP) + legend

    def widest(self, height: float, columns: int) -> float:
        """Width in inches at which the panel is this high; its height grows evenly with its width."""
        at_zero, at_one = (self.height(width, columns) for width in (0.0, 1.0))
        return (height - at_zero) / (at_one - at_zero)

    def _tile_height(self, width: float, columns: int) -> float:
        rows, pixels = self.tiles[0].pixels.shape[:2]
        tile_width = (width - TILE_GAP * (columns - 1)) / columns
        return tile_width * float(rows) / float(pixels)

    def draw(self, figure: Figure, left: float, top: float, width: float, columns: int) -> None:
        """Draw on a figure; `left`, `top` (from the lower edge) and `width` in inches."""
        tile_width = (width - TILE_GAP * (columns - 1)) / columns
        tile_height = self._tile_height(width, columns)
        step = tile_height + TITLE_HEIGHT + TILE_GAP
        for index, tile in enumerate(self.tiles):
            row, column = divmod(index, columns)
            x = left + column * (tile_width + TILE_GAP)
            y = top - row * step - TITLE_HEIGHT - tile_height
            _draw_tile(figure, tile, (x, y, tile_width, tile_height))
        bottom = top - -(-len(self.tiles) // columns) * step
        self._draw_legend(figure, left, bottom, width)

    def _draw_legend(self, figure: Figure, left: float, top: float, width: float) -> None:
        y = top - LEGEND_HEIGHT / 2
        if self.legend:
            step = width / len(self.legend)
            for index, (colour, meaning) in enumerate(self.legend):
                _draw_key(figure, colour, meaning, left + index * step, y)
            y -= LEGEND_HEIGHT
        if self.note:
            _text(figure, left, y, self.note, color="0.3")


def save_png(panel: Panel, path: Path) -> None:
    """Write a panel as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = panel.columns
    widest = columns * (_PNG_TILE_WIDTH + TILE_GAP) - TILE_GAP
    width = min(widest, panel.widest(_TALLEST_PNG, columns))
    height = panel.height(width, columns)
    size = (width + 2 * _MARGIN, height + 2 * _MARGIN)
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    panel.draw(figure, _MARGIN, size[1] - _MARGIN, width, columns)
    figure.savefig(str(path), dpi=_PNG_DPI, format="png", pil_kwargs={"compress_level": 4})


def plain_text(text: str) -> str:
    """Protect text from being read as mathematics."""
    return text.replace("$", r"\$")


def _draw_tile(figure: Figure, tile: Tile, box: Box) -> None:
    axes = figure.add_axes(_relative(figure, box))
    axes.imshow(tile.pixels, interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    _text(figure, box[0], box[1] + box[3] + TITLE_HEIGHT / 2, tile.title)


def _draw_key(figure: Figure, colour: Colour, meaning: str, x: float, y: float) -> None:
    from matplotlib.patches import Rectangle

    face = tuple(each / 255 for each in colour)
    left, bottom, width, height = _relative(figure, (x, y - 0.05, 0.22, 0.1))
    square = Rectangle((left, bottom), width, height, transform=figure.transFigure, color=face)
    figure.add_artist(square)
    _text(figure, x + 0.3, y, meaning)


def _text(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    left, bottom, _, _ = _relative(figure, (x, y, 0, 0))
    figure.text(left, bottom, plain_text(text), fontsize=8, va="center", ha="left", **style)


def _relative(figure: Figure, box: Box) -> Box:
    width, height = figure.get_size_inches()
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height
