# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest
import tifffile

from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.images import Image, inspect, opened, read
from dl4mic_sdk.pairs import Item, stem
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.prediction_files import prediction_path, with_metadata, write_prediction
from dl4mic_sdk.tiff_metadata import read_metadata

SIZES = {"T": 2, "Z": 3, "C": 2, "Y": 20, "X": 30}
OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">
 <Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="63" LensNA="1.4"/></Instrument>
 <Image ID="Image:0" Name="cells"><AcquisitionDate>2020-01-02T03:04:05</AcquisitionDate>
  <Description>zebrafish, 28 °C</Description><ObjectiveSettings ID="Objective:0"/>
  <Pixels ID="Pixels:0" Type="uint16" SignificantBits="12" DimensionOrder="XYCZT" SizeX="30" SizeY="20" SizeC="2"
   SizeZ="3" SizeT="2" PhysicalSizeX="110" PhysicalSizeXUnit="nm" PhysicalSizeY="110" PhysicalSizeYUnit="nm"
   PhysicalSizeZ="0.3" TimeIncrement="5">
   <Channel ID="Channel:0:0" Name="GFP" SamplesPerPixel="1" EmissionWavelength="509"/>
   <Channel ID="Channel:0:1" Name="mCherry" SamplesPerPixel="1"/>
   <TiffData IFD="0" PlaneCount="12"/>
   <Plane TheC="0" TheZ="0" TheT="0" ExposureTime="0.1"/><Plane TheC="1" TheZ="0" TheT="0" ExposureTime="0.2"/>
  </Pixels></Image></OME>"""


def write_ome(path: Path, xml: str = OME) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 4000, tuple(SIZES.values())).astype(np.uint16)
    about: Dict[str, Any] = {"description": xml.encode("utf-8"), "metadata": None}
    tifffile.imwrite(str(path), pixels, photometric="minisblack", **about)
    return pixels


def result_of(path: Path, axes: str, channel: Optional[int] = None, kind: Any = None) -> Path:
    """Predict an image, as a network does, and write it."""
    image = read(path, channel=channel)
    restored = image.with_pixels(image.pixels.astype(np.float32) + 0.5)
    assert image.axes == axes
    item = Item(stem(path), path, None, image.axes, image.pixels.shape, channel=channel)
    prediction = with_metadata(Prediction({"restored": restored}), item, kind)
    (written,) = write_prediction(prediction, item.name, path.parent / "out")
    assert prediction_path(path.parent / "out", item.name).name == written
    return path.parent / "out" / written


def ome_of(path: Path) -> ElementTree.Element:
    with tifffile.TiffFile(str(path)) as file:
        assert file.is_ome and file.ome_metadata
        assert "xmlns=" in file.ome_metadata and "ns0:" not in file.ome_metadata
        return ElementTree.fromstring(file.ome_metadata)


def found(root: ElementTree.Element, tag: str) -> List[ElementTree.Element]:
    return [each for each in root.iter() if each.tag.endswith("}" + tag)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path


def test_a_result_of_an_ome_tiff_says_what_still_holds(place: Path) -> None:
    pixels = write_ome(place / "cells.ome.tif")
    result = result_of(place / "cells.ome.tif", "TZCYX")
    assert result.name == "cells.ome.tif"
    info = inspect(result)
    assert (info.axes, info.shape, info.dtype) == ("TZCYX", pixels.shape, np.float32)
    assert info.pixel_size == pytest.approx({"X": 0.11, "Y": 0.11, "Z": 0.3, "T": 5})
    np.testing.assert_array_equal(read(result).pixels, pixels + np.float32(0.5))
    root = ome_of(result)
    assert [each.get("Name") for each in found(root, "Channel")] == ["GFP", "mCherry"]
    assert found(root, "Description")[0].text == "zebrafish, 28 °C"
    assert found(root, "Objective")[0].get("LensNA") == "1.4"
    assert found(root, "Plane")[1].get("ExposureTime") == "0.2"
    (of_pixels,) = found(root, "Pixels")
    assert of_pixels.get("Type") == "float" and of_pixels.get("SignificantBits") is None
    assert found(root, "TiffData")[0].attrib == {"IFD": "0", "PlaneCount": "12"}
    assert root.get("UUID") is None


def test_of_several_channels_the_one_that_was_taken_is_described(place: Path) -> None:
    pixels = write_ome(place / "cells.ome.tif")
    result = result_of(place / "cells.ome.tif", "TZYX", channel=1)
    np.testing.assert_array_equal(read(result).pixels, pixels[:, :, 1] + np.float32(0.5))
    root = ome_of(result)
    assert [each.get("Name") for each in found(root, "Channel")] == ["mCherry"]
    assert [each.get("TheC") for each in found(root, "Plane")] == ["0"]
    assert found(root, "Pixels")[0].get("SizeC") == "1"


def test_a_result_on_disk_says_the_same(place: Path) -> None:
    pixels = write_ome(place / "cells.ome.tif")
    kept = ArrayOnDisk(place / "kept", pixels.shape, np.uint16)
    kept[...] = pixels
    with opened(place / "cells.ome.tif") as image:
        restored = kept.as_image(image.axes, image.pixel_size, image.name)
    item = Item("cells", place / "cells.ome.tif", None, "TZCYX", pixels.shape)
    (name,) = write_prediction(
        with_metadata(Prediction({"a": restored}), item), "cells", place / "out"
    )
    np.testing.assert_array_equal(read(place / "out" / name).pixels, pixels)
    assert found(ome_of(place / "out" / name), "Pixels")[0].get("Type") == "uint16"


@pytest.mark.parametrize(
    "axes, shape",
    [("CZTYX", (2, 3, 4, 8, 9)), ("ZYX", (1, 8, 9)), ("TYX", (4, 8, 9)), ("YXS", (8, 9, 3))],
)
def test_whatever_the_order_of_a_file_its_result_is_complete(
    place: Path, axes: str, shape: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    kind = "rgb" if "S" in axes else "minisblack"
    path = place / "cells.ome.tif"
    about = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(str(path), pixels, ome=True, photometric=kind, metadata=about)
    image = read(path)
    result = result_of(path, image.axes)
    np.testing.assert_array_equal(read(result).pixels, image.pixels + np.float32(0.5))
    assert inspect(result).pixel_size == {"X": 0.5, "Y": 0.5}
    channels = dict(zip(image.axes, image.pixels.shape)).get("C", 1)
    assert len(found(ome_of(result), "Channel")) == channels


@pytest.mark.parametrize(
    "old, new",
    [("SizeT", "SizeX"), ("<OME ", '<!DOCTYPE a [<!ENTITY b "c">]><OME '), ("</Image>", "")],
)
def test_metadata_of_other_pixels_or_none_at_all_are_left_out(
    place: Path, old: str, new: str
) -> None:
    path = place / "cells.tif"
    write_ome(path)
    item = Item("cells", path, None, "YX", (4, 5))
    image = Image(np.zeros((4, 5), np.float32), "YX")
    write_prediction(with_metadata(Prediction({"a": image}), item), "cells", place / "out")
    assert inspect(place / "out" / "cells.tif").shape == (4, 5)
    write_ome(path, OME.replace(old, new, 1))
    whole = Image(np.zeros(tuple(SIZES.values()), np.float32), "TZCYX")
    kept = with_metadata(Prediction({"a": whole}), item).main[1].metadata
    assert kept is None


def test_notes_and_colours_of_imagej_are_kept(place: Path) -> None:
    about: Dict[str, Any] = {
        "axes": "ZCYX", "Info": "stained 3 h", "mode": "composite",
        "Labels": ["plane {}".format(number) for number in range(6)],
        "LUTs": [np.arange(768, dtype=np.uint8).reshape(3, 256) // (n + 1) for n in range(2)],
    }  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 99, (3, 2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(str(place / "a.tif"), pixels, imagej=True, metadata=about)
    result = result_of(place / "a.tif", "ZCYX")
    assert result.name == "a.tif"
    with tifffile.TiffFile(str(result)) as file:
        kept = file.imagej_metadata
    assert kept is not None and kept["Info"] == "stained 3 h" and kept["mode"] == "composite"
    assert kept["Labels"] == about["Labels"]
    np.testing.assert_array_equal(kept["LUTs"][1], about["LUTs"][1])
    one = result_of(place / "a.tif", "ZYX", channel=1)
    metadata = read_metadata(one)
    assert metadata is not None and set(metadata.imagej) == {"Info", "LUTs", "mode"}
    assert metadata.imagej["mode"] == "grayscale"
    np.testing.assert_array_equal(metadata.imagej["LUTs"], [about["LUTs"][1]])


def test_labels_are_no_intensities_and_keep_nothing(place: Path) -> None:
    write_ome(place / "cells.ome.tif")
    item = Item("cells", place / "cells.ome.tif", None, "YX", (4, 5))
    labels = Prediction({"labels": Image(np.ones((4, 5), int), "YX")}, labels=True)
    assert with_metadata(labels, item) is labels
    assert write_prediction(labels, "cells", place / "out") == ["cells.tif"]
