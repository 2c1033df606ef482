# SPDX-License-Identifier: BSD-3-Clause
"""The TensorFlow bundle that Fiji's plug-ins open: a frozen graph that TensorFlow 1.15, which they bring, can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

from dl4mic_keras.framework import tf

OUTPUT_NAME, INPUT_NAME = "output", "input"
"""As the plug-ins ask for them."""

META_NAME = "meta.json"


def write_graph(keras: Any, folder: Path) -> None:
    """Write a Keras model of one input and one output as a SavedModel.

    The libraries' own `export_TF` writes variables and attributes of operations that TensorFlow 1.15 does not know when
    it runs on TensorFlow 2. Here the weights become constants of the graph, attributes at their defaults are left out,
    and what normalises volumes by their batch is not fused into one operation, in the given model from then on.

    Parameters
    ----------
    keras
        The model; it takes images of any size.
    folder
        To make, or empty.
    """
    _take_volumes_apart(keras)
    call = tf.function(
        lambda pixels: keras(pixels, training=False),
        input_signature=[tf.TensorSpec(keras.inputs[0].shape, tf.float32, name=INPUT_NAME)],
    )
    _save(_frozen(call.get_concrete_function()), folder)


def write_bundle(keras: Any, facts: Mapping[str, Any], folder: Path) -> None:
    """Write the same with a ``meta.json`` beside, which Fiji's CSBDeep plug-ins ask for."""
    write_graph(keras, folder)
    (folder / META_NAME).write_text(json.dumps(facts), encoding="utf-8")


def _take_volumes_apart(keras: Any) -> None:
    """Let no batch normalisation of volumes be fused: TensorFlow 1.15 knows the fused one for planes alone."""
    for layer in keras.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.input_spec.ndim == 5:
            layer.fused = False


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
