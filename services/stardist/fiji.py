# SPDX-License-Identifier: BSD-3-Clause
"""The TensorFlow bundle that Fiji's StarDist plug-in opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dl4mic_keras.bundle import write_graph
from dl4mic_keras.framework import tf


def write_bundle(model: Any, folder: Path) -> None:
    """Write a model as a SavedModel, its answer `at_every_pixel`.

    Parameters
    ----------
    model
        Of the library.
    folder
        To make, or empty.
    """
    write_graph(at_every_pixel(model), folder)


def at_every_pixel(model: Any) -> Any:
    """Return the Keras model of a model of the library with one output: probability and distances of every pixel.

    They are brought to the size of the image as the library does it: distances are repeated, and the probability stands
    at one pixel of each cell of the grid, 0 beside it.
    """
    layers, config = tf.keras.layers, model.config
    probability, distances = model.keras_model.outputs[:2]
    if any(step > 1 for step in config.grid):
        two = config.n_dim == 2
        spread = layers.Conv2DTranspose if two else layers.Conv3DTranspose
        repeat = layers.UpSampling2D if two else layers.UpSampling3D
        probability = spread(
            1,
            (1,) * config.n_dim,
            strides=config.grid,
            padding="same",
            kernel_initializer="ones",
            use_bias=False,
        )(probability)
        distances = repeat(config.grid)(distances)
    joined = layers.Concatenate()([probability, distances])
    return tf.keras.Model(model.keras_model.inputs[0], joined)
