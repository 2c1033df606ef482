# SPDX-License-Identifier: BSD-3-Clause
"""A PDF made of headings, paragraphs, tables and pictures that flow over A4 pages and never leave them.

Only matplotlib is needed. Every text is measured with its font before it is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence, Tuple

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from dl4mic_sdk.qc.panels import Panel, plain_text

PAGE_WIDTH, PAGE_HEIGHT = 8.27, 11.69
MARGIN = 0.75
WIDTH = PAGE_WIDTH - 2 * MARGIN
"""Of the text, in inches, as all lengths here."""

_TOP = PAGE_HEIGHT - MARGIN
_POINT = 1 / 72
_LINE = 1.35
"""Distance of lines over size of type."""

NOT_DEFINED = "n/a"
"""Stands for a number that is not defined."""

_CELL_GAP = 0.06
_MAGNIFIED = 16
_BODY = 9.0
_SMALL = 7.5
_INK, _GREY, _RULE, _SHADE = "#1a1a1a", "#666666", "#bbbbbb", "#f3f3f3"
_WARNING_EDGE, _WARNING_FACE = "#e66100", "#fff4ea"

Drawer = Callable[[Any], None]
"""Draws into matplotlib axes."""


@lru_cache(maxsize=20000)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in inches of a line set in the document's font at `size` points."""
    font = get_font(findfont(FontProperties(weight="bold" if bold else "normal")))
    # At a large size, since at a small one the widths of letters are rounded to whole pixels.
    font.set_size(size * _MAGNIFIED, 72)
    font.set_text(text, 0.0)
    width: float = font.get_width_height()[0] / 64 / _MAGNIFIED * _POINT
    return width


def wrapped(text: str, width: float, size: float, bold: bool = False) -> List[str]:
    """Break a text into lines no wider than `width` inches, within words only where a word is too long."""
    lines: List[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0.0
        for word in _words(paragraph, width, size, bold):
            # Words are measured one by one, since these measures can be kept.
            step = text_width(word, size, bold)
            space = _space(size, bold) if line else 0.0
            if line and used + space + step > width:
                lines.append(line)
                line, used, space = "", 0.0, 0.0
            line, used = (line + " " + word if line else word), used + space + step
        lines.append(line)
    return lines


def _space(size: float, bold: bool) -> float:
    return text_width("a a", size, bold) - text_width("aa", size, bold)


def _words(text: str, width: float, size: float, bold: bool) -> Iterator[str]:
    """Split into words; those that are wider than a line are cut, after a sign if there is one."""
    for word in text.split():
        rest = word
        while text_width(rest, size, bold) > width and len(rest) > 1:
            cut = _longest_start(rest, width, size, bold)
            yield rest[:cut]
            rest = rest[cut:]
        yield rest


def _longest_start(word: str, width: float, size: float, bold: bool) -> int:
    """Number of letters that fit into a line."""
    cut, too_long = 1, len(word)
    while too_long - cut > 1:
        middle = (cut + too_long) // 2
        fits = text_width(word[:middle], size, bold) <= width
        cut, too_long = (middle, too_long) if fits else (cut, middle)
    signs = [each for each in range(cut // 3, cut) if word[each] in "_-/.:"]
    return signs[-1] + 1 if signs else cut


class Document:
    """A PDF under construction; a context manager that writes it.

    Parameters
    ----------
    path
        The file; it takes its place when the document is complete.
    title
        Stands on the first page and, small, at the foot of each page.
    subtitle
        Stands under the title.
    """

    def __init__(self, path: Path, title: str, subtitle: str = "") -> None:
        self._path = path
        self._partial = path.with_name("." + path.name + ".partial")
        self._title = title
        self._pages: List[Figure] = []
        self._y = 0.0
        self._new_page()
        self._lines(wrapped(title, WIDTH, 18, bold=True), 18, weight="bold")
        if subtitle:
            self._lines(wrapped(subtitle, WIDTH, _BODY), _BODY, color=_GREY)
        self._skip(0.1)

    def __enter__(self) -> Document:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._write()

    def _write(self) -> None:
        # The author of the file is its reader's own machine: no user name, no path gets in.
        with PdfPages(
            str(self._partial), metadata={"Title": self._title, "Creator": "dl4mic"}
        ) as pdf:
            for number, page in enumerate(self._pages, 1):
                self._foot(page, number)
                pdf.savefig(page)
        self._partial.replace(self._path)

    def heading(self, text: str, room: float = 1.0) -> None:
        """Begin a section; on a new page unless `room` inches are left below the heading."""
        if self._y - MARGIN < room + 0.45:
            self._new_page()
        self._skip(0.14)
        self._lines(wrapped(text, WIDTH, 12, bold=True), 12, weight="bold")
        self._rule(self._y + 0.02)
        self._skip(0.08)

    def paragraph(self, text: str, size: float = _BODY, color: str = _INK) -> None:
        """Set running text."""
        self._lines(wrapped(text, WIDTH, size), size, color=color)
        self._skip(0.06)

    def bullets(self, texts: Sequence[str]) -> None:
        """Set a list."""
        for text in texts:
            self._need(_height(1, _BODY))
            self._put(0.04, self._y - _height(1, _BODY), "\u2022", _BODY)
            self._lines(wrapped(text, WIDTH - 0.18, _BODY), _BODY, left=0.18)
        self._skip(0.06)

    def notice(self, title: str, text: str) -> None:
        """Set a warning in a box."""
        inner = WIDTH - 0.3
        lines = wrapped(text, inner, _BODY)
        head = wrapped(title, inner, _SMALL, bold=True)
        height = _height(len(lines), _BODY) + _height(len(head), _SMALL) + 0.16
        self._need(height + 0.08)
        box = (MARGIN, self._y - height, WIDTH, height)
        self._box(box, facecolor=_WARNING_FACE, edgecolor=_WARNING_EDGE, linewidth=0.8)
        self._skip(0.08)
        self._lines(head, _SMALL, left=0.15, weight="bold", color="#a34400")
        self._lines(lines, _BODY, left=0.15)
        self._skip(0.16)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        shares: Sequence[float],
        size: float = 8.0,
    ) -> None:
        """Set a table; long cells wrap, the head is repeated on each page.

        Parameters
        ----------
        columns
            Heads; all empty for none.
        rows
            Cells as text; a column of numbers is set flush right.
        shares
            Share of the width that each column gets; their sum is 1.
        """
        layout = _Layout.of(rows, shares, size)
        self._table_head(columns, layout)
        for index, row in enumerate(rows):
            cells, height = layout.broken(row)
            if self._y - height < MARGIN:
                self._new_page()
                self._table_head(columns, layout)
            if index % 2:
                self._box((MARGIN, self._y - height, WIDTH, height), facecolor=_SHADE, linewidth=0)
            self._table_row(cells, layout, height)
        self._rule(self._y)
        self._skip(0.12)

    def panel(self, panel: Panel, columns: int, caption: str = "", scale: float = 1.0) -> None:
        """Set pictures side by side, `scale` times as wide as the text, below their caption."""
        lines = wrapped(caption, WIDTH, _BODY, bold=True) if caption else []
        around = _height(len(lines), _BODY) + 0.14
        most = PAGE_HEIGHT - 2 * MARGIN - around
        width = min(WIDTH * scale, panel.widest(most, columns))
        height = panel.height(width, columns)
        self._need(height + around)
        self._lines(lines, _BODY, weight="bold")
        self._skip(0.04)
        panel.draw(self._page, MARGIN, self._y, width, columns)
        self._skip(height + 0.1)

    def plots(self, drawers: Sequence[Drawer], height: float) -> None:
        """Set diagrams side by side, each drawn into axes of its own."""
        self._need(height)
        gap, labels = 0.25, 0.55
        width = (WIDTH - gap * (len(drawers) - 1)) / len(drawers)
        for index, draw in enumerate(drawers):
            left = MARGIN + index * (width + gap) + labels
            box = (left, self._y - height + labels, width - labels, height - labels - 0.3)
            axes = self._page.add_axes(_relative(box))
            axes.tick_params(labelsize=_SMALL)
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes)
        self._skip(height + 0.05)

    @property
    def _page(self) -> Figure:
        return self._pages[-1]

    def _new_page(self) -> None:
        self._pages.append(Figure(figsize=(PAGE_WIDTH, PAGE_HEIGHT), facecolor="white"))
        self._y = _TOP

    def _need(self, height: float) -> None:
        if self._y - height < MARGIN:
            self._new_page()

    def _skip(self, height: float) -> None:
        self._y -= height

    def _lines(self, lines: Sequence[str], size: float, left: float = 0.0, **style: Any) -> None:
        for line in lines:
            self._need(_height(1, size))
            self._skip(_height(1, size))
            self._put(left, self._y, line, size, **style)

    def _put(self, left: float, y: float, text: str, size: float, **style: Any) -> None:
        x = (MARGIN + left) / PAGE_WIDTH
        look = dict({"color": _INK, "va": "baseline"}, **style)
        self._page.text(
            x, (y + 0.25 * size * _POINT) / PAGE_HEIGHT, plain_text(text), fontsize=size, **look
        )

    def _rule(self, y: float) -> None:
        left, right = MARGIN / PAGE_WIDTH, 1 - MARGIN / PAGE_WIDTH
        height = y / PAGE_HEIGHT
        line = Line2D([left, right], [height, height], color=_RULE, linewidth=0.6)
        self._page.add_artist(line)

    def _box(self, box: Tuple[float, float, float, float], **style: Any) -> None:
        left, bottom, width, height = _relative(box)
        transform = self._page.transFigure
        patch = Rectangle((left, bottom), width, height, transform=transform, zorder=0, **style)
        self._page.add_artist(patch)

    def _table_head(self, columns: Sequence[str], layout: _Layout) -> None:
        if any(columns):
            cells, height = layout.broken(columns, bold=True)
            self._need(height + 0.4)
            self._table_row(cells, layout, height, weight="bold")
            self._rule(self._y)

    def _table_row(
        self, cells: Sequence[List[str]], layout: _Layout, height: float, **style: Any
    ) -> None:
        left = 0.0
        for lines, share, numeric in zip(cells, layout.shares, layout.numeric):
            x = left + share * WIDTH - _CELL_GAP if numeric else left + _CELL_GAP
            for number, line in enumerate(lines, 1):
                y = self._y - _CELL_GAP / 2 - _height(number, layout.size)
                look = dict(style, ha="right" if numeric else "left")
                self._put(x, y, line, layout.size, **look)
            left += share * WIDTH
        self._skip(height)

    def _foot(self, page: Figure, number: int) -> None:
        text = "{} \u00b7 page {} of {}".format(self._title, number, len(self._pages))
        first = wrapped(text, WIDTH, _SMALL)[-1] if text_width(text, _SMALL) > WIDTH else text
        page.text(
            0.5,
            MARGIN / 2 / PAGE_HEIGHT,
            plain_text(first),
            fontsize=_SMALL,
            color=_GREY,
            ha="center",
        )


def _height(lines: int, size: float) -> float:
    return lines * size * _LINE * _POINT


@dataclass(frozen=True)
class _Layout:
    """Columns of a table: share of the width, whether they hold numbers; size of type."""

    shares: Sequence[float]
    numeric: Sequence[bool]
    size: float

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], shares: Sequence[float], size: float) -> _Layout:
        columns = [[row[index] for row in rows] for index in range(len(shares))]
        return cls(shares, [bool(each) and all(map(_is_number, each)) for each in columns], size)

    def broken(self, row: Sequence[str], bold: bool = False) -> Tuple[List[List[str]], float]:
        """Break the cells of a row into lines; return these and the row's height."""
        widths = [share * WIDTH - 2 * _CELL_GAP for share in self.shares]
        cells = [wrapped(cell, width, self.size, bold) for cell, width in zip(row, widths)]
        return cells, _height(max(map(len, cells)), self.size) + _CELL_GAP


def _is_number(text: str) -> bool:
    return text == NOT_DEFINED or (bool(text) and all(each in "0123456789.-+e%" for each in text))


def _relative(box: Tuple[float, float, float, float]) -> Tuple[float, float, float, float]:
    left, bottom, width, height = box
    return left / PAGE_WIDTH, bottom / PAGE_HEIGHT, width / PAGE_WIDTH, height / PAGE_HEIGHT
