# SPDX-License-Identifier: BSD-3-Clause
"""What services on TensorFlow and Keras 2 share: the framework's set-up, and a model of Keras as a `Learner`.

Nothing in `dl4mic_sdk` imports it; a service that does has TensorFlow and h5py in its lock.
"""
