# SPDX-License-Identifier: BSD-3-Clause
"""Turns a job's parameters and what is known of its images into the library's model configuration."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from intensities import Intensities
from library import configured
from masking import Masking

from dl4mic_sdk.errors import SdkError

LARGEST_PATCH = {2: (64, 64), 3: (16, 64, 64)}
"""Chosen at most. 64 in Y and X is what library and notebooks take; in Z the library's 64 are more than most stacks."""

STRUCTURE = (
    "unet_n_depth",
    "unet_kern_size",
    "unet_n_first",
    "unet_residual",
    "batch_norm",
    "blurpool",
    "skip_skipone",
)
"""Parameters that make the network what it is, by the library's names."""

_TRAINING = {
    "n2v_perc_pix": "n2v_perc_pix",
    "n2v_manipulator": "n2v_manipulator",
    "n2v_neighborhood_radius": "n2v_neighborhood_radius",
    "train_loss": "loss",
    "train_epochs": "epochs",
    "train_batch_size": "batch_size",
}


def configuration(
    parameters: Mapping[str, Any],
    patch: Sequence[int],
    steps: int,
    learning_rate: float,
    intensities: Intensities,
) -> Any:
    """Make the library's configuration of a new model.

    Parameters
    ----------
    parameters
        Of the job.
    patch
        Size of the patches, (Z,) Y, X.
    steps
        Of an epoch.
    learning_rate
        Of the first step.
    intensities
        Of the training images.

    Notes
    -----
    Several channels go through one U-Net together. The library's other form, a U-Net for each
    (``single_net_per_channel``), shows every one of them the last channel, in n2v 0.3.3 at least.
    """
    channels = len(intensities.means)
    if parameters["unet_residual"] and channels > 1:
        raise SdkError(
            f"unet_residual works on one channel, and the images have {channels}",
            "Choose a channel, or leave unet_residual out.",
        )
    structure = {name: parameters[name] for name in STRUCTURE if name in parameters}
    values = {"blurpool": False, **structure, **_of_images(len(patch), channels)}
    values.update(unet_last_activation="linear", probabilistic=False, single_net_per_channel=False)
    values.update(training_options(parameters, patch, steps, learning_rate, intensities))
    return configured(values)


def _of_images(dimensions: int, channels: int) -> Dict[str, Any]:
    return {
        "n_dim": dimensions,
        "axes": "ZYXC"[-dimensions - 1 :],
        "n_channel_in": channels,
        "n_channel_out": channels,
        "unet_input_shape": (None,) * dimensions + (channels,),
    }


def training_options(
    parameters: Mapping[str, Any],
    patch: Sequence[int],
    steps: int,
    learning_rate: float,
    intensities: Intensities,
) -> Dict[str, Any]:
    """Return what of a configuration concerns the training and its images, under the library's names."""
    options = {key: parameters[name] for key, name in _TRAINING.items()}
    factor, patience = parameters["reduce_lr_factor"], parameters["reduce_lr_patience"]
    return dict(
        options,
        means=[str(each) for each in intensities.means],
        stds=[str(each) for each in intensities.stds],
        n2v_patch_shape=tuple(patch),
        structN2Vmask=Masking.of(parameters).structure,
        train_steps_per_epoch=steps,
        train_learning_rate=learning_rate,
        train_reduce_lr={"factor": factor, "patience": patience} if patience else None,
        train_checkpoint="weights_best.h5",
        train_tensorboard=False,
    )
