# SPDX-License-Identifier: BSD-3-Clause
"""Nothing that a document sets may leave its page, whatever the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dl4mic_sdk.pages import MARGIN, PAGE_HEIGHT, PAGE_WIDTH, WIDTH, Document, text_width, wrapped
from dl4mic_sdk.qc.panels import Panel, Tile

LONG_WORD = "a_file_name_without_any_blank/" * 20
TEXT = "It costs $5, or $6_7 for \u00b5m: 100 % of a \\frac{1}{2}. " * 30


def boxes_of(page: Figure) -> List[Tuple[str, Any]]:
    """Text and its box in inches, measured finely: a PDF does not round letters to pixels."""
    page.set_dpi(300)
    renderer = FigureCanvasAgg(page).get_renderer()
    inches = page.dpi_scale_trans.inverted()
    said = [each for each in page.texts if each.get_text().strip()]
    return [
        (each.get_text(), inches.transform_bbox(each.get_window_extent(renderer))) for each in said
    ]


def texts_beyond_the_margins(page: Figure) -> List[str]:
    return [
        text
        for text, box in boxes_of(page)
        if not (box.x0 > MARGIN - 0.05 and box.x1 < PAGE_WIDTH - MARGIN + 0.05)
        or not (box.y0 > 0.2 and box.y1 < PAGE_HEIGHT - MARGIN + 0.1)
    ]


def overlapping_lines(page: Figure) -> List[Tuple[str, str]]:
    found = boxes_of(page)
    return [
        (one, other)
        for index, (one, box) in enumerate(found)
        for other, other_box in found[index + 1 :]
        if min(box.x1, other_box.x1) - max(box.x0, other_box.x0) > 0.01
        if min(box.y1, other_box.y1) - max(box.y0, other_box.y0) > 0.02
    ]


def full_document(path: Path) -> Document:
    document = Document(path, "A title that is " + "very " * 30 + "long", LONG_WORD)
    document.notice("SOME_CODE", TEXT)
    document.heading("A heading " * 20)
    document.paragraph(TEXT)
    document.bullets([TEXT, LONG_WORD, "short"])
    rows = [(LONG_WORD[: 7 * i], "0.{}".format(i), TEXT[: 9 * i]) for i in range(1, 25)]
    document.table(("name", "number", LONG_WORD), rows, (0.3, 0.2, 0.5))
    tile = Tile("tile", np.zeros((900, 300, 3), np.uint8))
    document.panel(Panel((tile,) * 3, (((1, 2, 3), "what it means"),), "a note"), 1, LONG_WORD)
    document.plots([lambda axes: axes.plot([1, 2])] * 3, 2.0)
    return document


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> List[Figure]:
    with full_document(tmp_path_factory.mktemp("pdf") / "a.pdf") as document:
        pass
    return document._pages


def test_nothing_leaves_the_page(pages: List[Figure]) -> None:
    assert len(pages) > 3
    assert [texts_beyond_the_margins(page) for page in pages] == [[]] * len(pages)


def test_lines_do_not_overlap(pages: List[Figure]) -> None:
    assert [overlapping_lines(page) for page in pages] == [[]] * len(pages)


def test_pictures_stay_on_the_page(pages: List[Figure]) -> None:
    boxes = [axes.get_position() for page in pages for axes in page.axes]
    assert len(boxes) == 6
    assert all(0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1 for box in boxes)


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    with Document(path, "title"):
        assert not path.exists()
    assert path.read_bytes().startswith(b"%PDF")
    assert [each.name for each in tmp_path.iterdir()] == ["a.pdf"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), Document(path, "title"):
        raise ZeroDivisionError
    assert path.read_text() == "old"


def test_wrapping_keeps_every_word_in_order() -> None:
    lines = wrapped(TEXT, 2.0, 9)
    assert " ".join(lines).split() == TEXT.split()
    assert max(text_width(line, 9) for line in lines) <= 2.02


def test_a_word_wider_than_the_line_is_cut_after_a_sign() -> None:
    lines = wrapped("background_regularisation_strength", 1.2, 9)
    assert "".join(lines) == "background_regularisation_strength"
    assert lines[0] == "background_"


def test_empty_texts(tmp_path: Path) -> None:
    assert wrapped("", WIDTH, 9) == [""]
    with Document(tmp_path / "a.pdf", "") as document:
        document.paragraph("")
        document.bullets([])
        document.table(("", ""), [], (0.5, 0.5))
