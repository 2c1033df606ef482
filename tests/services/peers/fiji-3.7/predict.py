# SPDX-License-Identifier: BSD-3-Clause
"""Opens a bundle as Fiji's plug-ins do, with their TensorFlow: ``predict.py BUNDLE INPUT.npy OUTPUT.npy``."""

import sys

import numpy as np
import tensorflow as tf

assert tf.__version__.startswith("1.15"), tf.__version__
bundle, source, target = sys.argv[1:]
with tf.Graph().as_default(), tf.Session() as session:
    loaded = tf.saved_model.loader.load(session, ["serve"], bundle)
    signature = loaded.signature_def["serving_default"]
    names = {signature.inputs["input"].name: np.load(source)}
    np.save(target, session.run(signature.outputs["output"].name, names))
