# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of a restoration: images on one scale, where they are wrong, and a line through the worst region."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

import numpy as np
from scipy.ndimage import uniform_filter

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.intensity import BRIGHTEST, DARKEST, moments_of, percentiles, total_of
from dl4mic_sdk.qc.panels import Colour, Panel, Tile
from dl4mic_sdk.qc.restoration import planes_of
from dl4mic_sdk.qc.restoration_definitions import PREDICTION, SOURCE
from dl4mic_sdk.qc.similarity import Smoothed, similarity_map
from dl4mic_sdk.qc.view import View, view_of

OVER: Colour = (230, 97, 0)
UNDER: Colour = (100, 143, 255)
"""Orange red and blue differ in hue and lightness, for every kind of colour vision."""

LINES: Mapping[str, Colour] = {
    "target": (0, 0, 0),
    PREDICTION: (30, 190, 130),
    SOURCE: (170, 170, 170),
}
_MARK: Colour = (255, 200, 0)
_REGION = 16
"""Pixels along each side of the region whose mean squared error says which is worst."""

_LINE_WIDTH = 2
_DPI = 100
_WIDEST_PROFILE = 128
"""Pixels of the image that the line through the worst region shows."""


def restoration_panel(target: Image, images: Mapping[str, Image]) -> Panel:
    """Draw source, prediction, target, signed error, SSIM, and intensities along a line through the worst region.

    Parameters
    ----------
    target
        Of its channels the first is drawn; of a series the frame in the middle.
    images
        `PREDICTION`, and `SOURCE` where it is known; of the target's shape.
    """
    unit = _on_one_scale(_single(target), {name: _single(each) for name, each in images.items()})
    error = unit[PREDICTION] - unit["target"]
    place = worst_place(error)
    view = view_of(_as_stack(target, unit["target"]), at=place)
    limit = max(float(np.percentile(np.abs(error), BRIGHTEST)), 1e-6)
    pictures = [
        (name, grey(_shown(view, target, unit[name])))
        for name in (SOURCE, PREDICTION, "target")
        if name in unit
    ]
    pictures = [(name, _marked(picture, view, place, target)) for name, picture in pictures]
    pictures.append(("error", signed(_shown(view, target, error) / limit)))
    similarity = np.stack(
        [similarity_map(Smoothed.of(t), p) for t, p in zip(unit["target"], unit[PREDICTION])]
    )
    pictures.append(("SSIM (white: 1)", grey(_shown(view, target, similarity))))
    return Panel(
        tiles=(
            *(Tile(title, view.paint_gap(picture)) for title, picture in pictures),
            Tile("along the yellow line", profile(unit, place, view)),
        ),
        legend=_legend(limit, unit),
        note=" ".join(filter(None, (view.note, _note(place)))),
    )


def residual_panel(source: Image, prediction: Image, residual: Image) -> Panel:
    """Draw source, prediction, and what was taken away, on the source's scale."""
    unit = _on_one_scale(_single(source), {PREDICTION: _single(prediction)})
    left = _single(residual)
    place = worst_place(left)
    view = view_of(_as_stack(source, unit["target"]), at=place)
    limit = max(float(np.percentile(np.abs(left), BRIGHTEST)), 1e-12)
    pictures = [
        (SOURCE, grey(_shown(view, source, unit["target"]))),
        (PREDICTION, grey(_shown(view, source, unit[PREDICTION]))),
        ("source - prediction", signed(_shown(view, source, left) / limit)),
    ]
    legend = (
        (OVER, "source above the prediction, by {:.3g}".format(limit)),
        (UNDER, "below it, by {:.3g}".format(limit)),
    )
    tiles = tuple(Tile(title, view.paint_gap(picture)) for title, picture in pictures)
    return Panel(tiles, legend, view.note)


def worst_place(error: np.ndarray) -> Tuple[int, int, int]:
    """Find the middle of the region with the largest mean squared error; shape (planes, rows, columns)."""
    smooth = uniform_filter(
        np.square(error, dtype=np.float64), (1, _REGION, _REGION), mode="reflect"
    )
    z, y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return int(z), int(y), int(x)


def grey(plane: np.ndarray) -> np.ndarray:
    """Draw 0..1, shape (rows, columns), as black to white."""
    levels = (np.clip(plane, 0, 1) * 255).astype(np.uint8)
    return np.repeat(levels[..., np.newaxis], 3, axis=2)


def signed(plane: np.ndarray) -> np.ndarray:
    """Draw -1..1, shape (rows, columns), from `UNDER` over black to `OVER`."""
    strength = np.clip(plane, -1, 1)[..., np.newaxis]
    colours = np.maximum(strength, 0) * OVER + np.maximum(-strength, 0) * UNDER
    drawn: np.ndarray = colours.astype(np.uint8)
    return drawn


def profile(unit: Mapping[str, np.ndarray], place: Tuple[int, int, int], view: View) -> np.ndarray:
    """Plot intensities along x through a place, as a picture of the view's size, uint8 of shape (rows, columns, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = view.size
    z, y, x = place
    start, stop = _stretch(x, unit["target"].shape[2])
    figure = Figure(figsize=(columns / _DPI, rows / _DPI), dpi=_DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.14, min(0.3, 60 / rows), 0.83, 0.95 - min(0.3, 60 / rows)))
    for name in (SOURCE, PREDICTION, "target"):
        if name in unit:
            colour = [each / 255 for each in LINES[name]]
            axes.plot(range(start, stop), unit[name][z, y, start:stop], color=colour, linewidth=1.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("x (px)")
    canvas.draw()
    drawn: np.ndarray = np.asarray(canvas.buffer_rgba())[..., :3]
    return drawn[:rows, :columns].copy()


def _stretch(x: int, width: int) -> Tuple[int, int]:
    start = max(0, min(x - _WIDEST_PROFILE // 2, width - _WIDEST_PROFILE))
    return start, min(width, start + _WIDEST_PROFILE)


def _single(image: Image) -> np.ndarray:
    """Take the first channel, of a series the frame in the middle: shape (planes, rows, columns)."""
    first: np.ndarray = planes_of(image)[0]
    sizes = dict(zip(image.axes, image.pixels.shape))
    if "T" not in sizes:
        return first
    frames = first.reshape((sizes["T"], -1) + first.shape[-2:])
    middle: np.ndarray = frames[sizes["T"] // 2]
    return middle


def _on_one_scale(target: np.ndarray, images: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Bring a target to 0..1 by its percentiles, and fit the others to it by least squares; float32, not clipped."""
    low, high = percentiles(target, DARKEST, BRIGHTEST)
    span = high - low if high > low else 1.0
    unit = {"target": ((target - low) / span).astype(np.float32)}
    for name, image in images.items():
        fit = total_of(moments_of(target, image))
        fitted = (image - fit.mean) * fit.slope + fit.target_mean
        unit[name] = ((fitted - low) / span).astype(np.float32)
    return unit


def _as_stack(like: Image, planes: np.ndarray) -> Image:
    """Give planes the pixel size of an image: a stack, or a single plane."""
    stack = "Z" in like.axes
    return Image(planes if stack else planes[0], "ZYX" if stack else "YX", like.pixel_size)


def _shown(view: View, like: Image, planes: np.ndarray) -> np.ndarray:
    shown: np.ndarray = view.show(_as_stack(like, planes))[..., 0]
    return shown


def _marked(
    picture: np.ndarray, view: View, place: Tuple[int, int, int], target: Image
) -> np.ndarray:
    """Draw the line of the profile into the section along x and y."""
    width = dict(zip(target.axes, target.pixels.shape))["X"]
    start, stop = (round(each * view.scale) for each in _stretch(place[2], width))
    row = min(int((place[1] + 0.5) * view.scale), view.height - 1)
    picture[max(0, row - _LINE_WIDTH // 2) : row + _LINE_WIDTH // 2, start:stop] = _MARK
    return picture


def _legend(limit: float, unit: Mapping[str, np.ndarray]) -> Tuple[Tuple[Colour, str], ...]:
    found: List[Tuple[Colour, str]] = [
        (OVER, "too bright, by {:.2g}".format(limit)),
        (UNDER, "too dark, by {:.2g}".format(limit)),
    ]
    found += [(LINES[name], name) for name in ("target", PREDICTION, SOURCE) if name in unit]
    return tuple(found)


def _note(place: Tuple[int, int, int]) -> str:
    text = "The yellow line goes through the worst region, at x = {}, y = {}."
    return text.format(place[2], place[1])
