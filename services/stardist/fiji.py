# SPDX-License-Identifier: BSD-3-Clause
"""The TensorFlow bundle that Fiji's plug-ins open: a frozen graph that TensorFlow 1.15, which they bring, can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dl4mic_keras.framework import tf

OUTPUT_NAME, INPUT_NAME = "output", "input"
"""As the plug-ins ask for them."""


def write_bundle(model: Any, folder: Path) -> None:
    """Write a model as a SavedModel: one input, and as one output probability and distances at every pixel.

    The library's own `export_TF` writes variables and attributes of operations that TensorFlow 1.15 does not know when
    it runs on TensorFlow 2. Here the weights become constants of the graph, and attributes at their defaults are left
    out. The outputs are brought to the size of the image as the library does it: distances are repeated, and the
    probability stands at one pixel of each cell of the grid, 0 beside it.

    Parameters
    ----------
    model
        Of the library.
    folder
        To make, or empty.
    """
    shape = (None,) * (model.config.n_dim + 1) + (model.config.n_channel_in,)
    keras = _at_every_pixel(model)
    call = tf.function(
        lambda pixels: keras(pixels, training=False),
        input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT_NAME)],
    )
    _save(_frozen(call.get_concrete_function()), folder)


def _at_every_pixel(model: Any) -> Any:
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


def _frozen(function: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return convert_variables_to_constants_v2(function)


def _save(function: Any, folder: Path) -> None:
    v1 = tf.compat.v1
    graph_def = function.graph.as_graph_def()
    builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        signature = v1.saved_model.signature_def_utils.predict_signature_def(
            inputs={INPUT_NAME: graph.get_tensor_by_name(function.inputs[0].name)},
            outputs={OUTPUT_NAME: graph.get_tensor_by_name(function.outputs[0].name)},
        )
        key = v1.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        tags = [v1.saved_model.tag_constants.SERVING]
        builder.add_meta_graph_and_variables(
            session, tags, signature_def_map={key: signature}, strip_default_attrs=True
        )
        builder.save()
