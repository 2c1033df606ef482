# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import pytest
import tifffile

from dl4mic_sdk import images
from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.images import Image, inspect, list_images, read, write

SIZES = {"T": 2, "Z": 4, "C": 3, "Y": 12, "X": 10}
PIXEL_SIZE = {"X": 0.1625, "Y": 0.2, "Z": 0.5, "T": 3.0}


def pixels_along(axes: str, dtype: str = "uint16") -> np.ndarray:
    shape = [SIZES[each] for each in axes]
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(pixels: np.ndarray, width: int = 0) -> bytes:
    """Make a PNG by hand, grey or RGB, 8 or 16 bit; `width` may lie."""
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(len(pixels), -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    colour = 2 if pixels.ndim == 3 else 0
    size = (width or pixels.shape[1], pixels.shape[0])
    header = struct.pack(">IIBBBBB", *size, 8 * pixels.itemsize, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*each) for each in chunks)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX", "TYX", "ZCYX", "TZCYX"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_what_is_written_is_read(tmp_path: Path, axes: str, dtype: str, compress: bool) -> None:
    pixels = pixels_along(axes, dtype)
    path = tmp_path / "cells.tif"
    write(path, Image(pixels, axes, PIXEL_SIZE), compress=compress)

    info, image = inspect(path), read(path)

    assert (info.axes, info.shape, info.dtype) == (axes, pixels.shape, pixels.dtype)
    assert (image.axes, image.name, image.pixels.dtype) == (axes, "cells", pixels.dtype)
    np.testing.assert_array_equal(image.pixels, pixels)
    expected = {axis: size for axis, size in PIXEL_SIZE.items() if axis in axes}
    assert image.pixel_size == pytest.approx(expected) == info.pixel_size
    assert [each.name for each in tmp_path.iterdir()] == ["cells.tif"]


def test_axes_are_brought_into_one_order(tmp_path: Path) -> None:
    pixels = pixels_along("XCY")
    write(tmp_path / "a.tif", Image(pixels, "XCY"))
    image = read(tmp_path / "a.tif")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.pixels, pixels.transpose(1, 2, 0))


def test_an_unknown_pixel_size_stays_unknown(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Image(pixels_along("ZYX"), "ZYX"))
    assert read(tmp_path / "a.tif").pixel_size == {}


@pytest.mark.parametrize("count, dtype", [(65535, "uint16"), (65536, "uint32")])
def test_labels_take_as_many_bits_as_they_need(tmp_path: Path, count: int, dtype: str) -> None:
    labels = np.zeros((4, 5), np.int64)
    labels[2, 2] = count
    write(tmp_path / "a.tif", Image(labels, "YX", {"X": 0.5, "Y": 0.5}), label=True)
    image = read(tmp_path / "a.tif")
    assert image.pixels.dtype == dtype and image.pixels.max() == count
    assert image.pixel_size == pytest.approx({"X": 0.5, "Y": 0.5})


@pytest.mark.parametrize("labels", [np.full((2, 2), -1), np.full((2, 2), 1.5)])
def test_what_is_no_label_is_not_written_as_one(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="integers from 0"):
        write(tmp_path / "a.tif", Image(labels, "YX"), label=True)
    assert not list(tmp_path.iterdir())


def test_a_file_of_imagej_keeps_its_size_in_other_units(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "nm", "spacing": 300}
    tifffile.imwrite(
        str(tmp_path / "a.tif"),
        pixels_along("ZYX"),
        imagej=True,
        resolution=(1 / 65, 1 / 65),
        metadata=metadata,
    )
    size = read(tmp_path / "a.tif").pixel_size
    assert size == pytest.approx({"X": 0.065, "Y": 0.065, "Z": 0.3}, rel=1e-6)


@pytest.mark.parametrize("bigtiff", [False, True])
def test_ome_tiff(tmp_path: Path, bigtiff: bool) -> None:
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 65,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeZ": 0.3,
    }
    pixels = pixels_along("CZYX")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(str(path), pixels, ome=True, bigtiff=bigtiff, metadata=metadata)
    image = read(path)
    assert (image.name, image.axes) == ("a", "ZCYX")
    assert image.pixel_size == pytest.approx({"X": 0.065, "Z": 0.3})
    np.testing.assert_array_equal(image.pixels, pixels.transpose(1, 0, 2, 3))


def test_pages_that_nobody_named_are_planes(tmp_path: Path) -> None:
    tifffile.imwrite(str(tmp_path / "a.tif"), pixels_along("ZYX"), photometric="minisblack")
    assert read(tmp_path / "a.tif").axes == "ZYX"
    assert read(tmp_path / "a.tif", axes="TYX").axes == "TYX"


def test_rgb_is_three_channels_and_one_can_be_chosen(tmp_path: Path) -> None:
    pixels = pixels_along("YXC", "uint8")
    tifffile.imwrite(str(tmp_path / "a.tif"), pixels, photometric="rgb")
    image = read(tmp_path / "a.tif", axes="CYX")  # the file knows better in which order
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels, -1, 0))
    green = read(tmp_path / "a.tif", channel=1)
    assert green.axes == "YX"
    np.testing.assert_array_equal(green.pixels, pixels[..., 1])
    with pytest.raises(ImageError, match="3 channels, so there is no channel 3"):
        read(tmp_path / "a.tif", channel=3)


def test_big_endian_pixels_come_in_the_machines_order(tmp_path: Path) -> None:
    tifffile.imwrite(str(tmp_path / "a.tif"), pixels_along("YX"), byteorder=">")
    image = read(tmp_path / "a.tif")
    assert image.pixels.dtype.isnative
    np.testing.assert_array_equal(image.pixels, pixels_along("YX"))


@pytest.mark.parametrize("compress", [False, True])
def test_a_large_stack_is_read_in_part(tmp_path: Path, compress: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (8, 300, 300)).astype(np.uint16)
    write(tmp_path / "a.tif", Image(pixels, "ZYX"), compress=compress)
    assert isinstance(read(tmp_path / "a.tif").pixels, np.memmap) is not compress
    region = {"Z": slice(2, 5), "X": slice(7, 20), "C": slice(0, 1)}
    part = read(tmp_path / "a.tif", region=region).pixels
    np.testing.assert_array_equal(part, pixels[2:5, :, 7:20])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("axes", ["YX", "YXC"])
def test_png(tmp_path: Path, axes: str, dtype: str) -> None:
    pixels = pixels_along(axes, dtype)
    (tmp_path / "a.png").write_bytes(png(pixels))
    image = read(tmp_path / "a.png")
    assert image.axes == axes.replace("YXC", "CYX")
    expected = pixels if axes == "YX" else np.moveaxis(pixels, -1, 0)
    np.testing.assert_array_equal(image.pixels, expected)
    info = inspect(tmp_path / "a.png")
    assert (info.shape, info.dtype) == (image.pixels.shape, image.pixels.dtype)


NPY_AXES: Dict[Tuple[int, ...], str] = {(5, 6): "YX", (5, 6, 7): "ZYX", (5, 6, 3): "CYX"}


@pytest.mark.parametrize("shape", NPY_AXES)
def test_npy(tmp_path: Path, shape: Tuple[int, ...]) -> None:
    np.save(str(tmp_path / "a.npy"), np.zeros(shape, "float32"))
    assert read(tmp_path / "a.npy").axes == NPY_AXES[shape]


def test_npy_of_four_axes_needs_their_names(tmp_path: Path) -> None:
    np.save(str(tmp_path / "a.npy"), np.zeros((2, 3, 4, 5)))
    with pytest.raises(ImageError, match="does not say what its axes"):
        read(tmp_path / "a.npy")
    assert inspect(tmp_path / "a.npy", axes="CZYX").shape == (3, 2, 4, 5)


def test_npy_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(str(tmp_path / "a.npy"), np.array([[{}, 1], [2, 3]], dtype=object))
    with pytest.raises(ImageError, match="Python objects"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "axes, message", [("ZYX", "has 2 axes"), ("YY", "no axes"), ("QX", "no axes")]
)
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, axes: str, message: str) -> None:
    np.save(str(tmp_path / "a.npy"), np.zeros((5, 6)))
    with pytest.raises(ImageError, match=message):
        inspect(tmp_path / "a.npy", axes=axes)


def absurd_tiff(path: Path) -> None:
    tifffile.imwrite(str(path), np.zeros((4, 4), np.uint8), compression="zlib")
    with tifffile.TiffFile(str(path), mode="r+b") as file:
        page: Any = file.pages[0]
        page.tags["ImageWidth"].overwrite(2_000_000_000)
        page.tags["ImageLength"].overwrite(2_000_000_000)


def absurd_npy(path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def absurd_png(path: Path) -> None:
    path.write_bytes(png(np.zeros((4, 4), np.uint8), width=2_000_000_000))


def absurd_tile_tiff(path: Path) -> None:
    tifffile.imwrite(path, pixels_along("YX"), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(40_000)


def absurd_strip_tiff(path: Path) -> None:
    tifffile.imwrite(path, pixels_along("YX"), bigtiff=True)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["StripByteCounts"].overwrite(2**40)


@pytest.mark.parametrize(
    "make", [absurd_tiff, absurd_tile_tiff, absurd_strip_tiff, absurd_npy, absurd_png]
)
def test_a_header_that_claims_too_much_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / ("a." + make.__name__.split("_")[-1])
    make(path)
    for function in (inspect, read):
        with pytest.raises(ImageError, match="claims"):
            function(path)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"no image at all, but a text of some length"])
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match="cannot be read") as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path, Image(np.zeros((800, 800), np.uint16), "YX"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="cannot be read"):
        read(path)


def test_a_missing_file_and_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="not an image that can be read"):
        read(tmp_path / "a.czi")


def test_images_are_listed_in_natural_order(tmp_path: Path) -> None:
    for name in ["10.tif", "2.TIF", "1.png", ".hidden.tif", "notes.txt", "3.npy"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    assert [each.name for each in list_images(tmp_path)] == ["1.png", "2.TIF", "3.npy", "10.tif"]
    assert list_images(tmp_path / "10.tif") == [tmp_path / "10.tif"]


@pytest.mark.parametrize(
    "name, hint", [("a.jpg", ".jpg files"), ("a.txt", "named .tif"), ("", "named .tif")]
)
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str, hint: str) -> None:
    if name:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="holds no image") as caught:
        list_images(tmp_path)
    assert hint in caught.value.hint
    with pytest.raises(DataError, match="does not exist"):
        list_images(tmp_path / "nowhere")


def test_the_name_is_without_suffix() -> None:
    names = ["a.tif", "a.ome.tif", "a.OME.TIFF", "a.b.tif", "a.png"]
    assert [images.stem(each) for each in names] == ["a", "a", "a", "a.b", "a"]


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [("ZYX", (1, 9, 8)), ("TZYX", (3, 1, 9, 8)), ("ZYX", (3, 9, 1)), ("YX", (1, 1))],
)
def test_an_axis_of_length_1_is_kept(
    tmp_path: Path, axes: str, shape: Tuple[int, ...], label: bool
) -> None:
    pixels = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(np.uint16)
    write(tmp_path / "a.tif", Image(pixels, axes, PIXEL_SIZE), label=label)
    image = read(tmp_path / "a.tif")
    assert image.axes == axes
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixel_size == pytest.approx({axis: PIXEL_SIZE[axis] for axis in axes})


def test_a_plain_stack_of_rgb_pages_has_planes_and_channels(tmp_path: Path) -> None:
    pixels = pixels_along("ZYXC", "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    image = read(tmp_path / "a.tif")
    assert image.axes == "ZCYX"
    np.testing.assert_array_equal(image.pixels, pixels.transpose(0, 3, 1, 2))


def test_planar_and_interleaved_rgb_are_the_same(tmp_path: Path) -> None:
    pixels = pixels_along("CYX", "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "b.tif", pixels.transpose(1, 2, 0), photometric="rgb")
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(read(tmp_path / name).pixels, pixels)


def test_npy_in_fortrans_order_is_read_whole_and_in_part(tmp_path: Path) -> None:
    pixels = pixels_along("ZYX")
    np.save(tmp_path / "a.npy", np.asfortranarray(pixels))
    np.testing.assert_array_equal(read(tmp_path / "a.npy").pixels, pixels)
    part = read(tmp_path / "a.npy", region={"Z": slice(1, 3), "X": slice(2, 5)})
    np.testing.assert_array_equal(part.pixels, pixels[1:3, :, 2:5])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((4, 5), np.complex64), "type complex64, which are no intensities"),
        (np.array([["a", "b"]]), "which are no intensities"),
        (np.ones((0, 5), np.uint8), "no pixels: its shape is (0, 5)"),
    ],
)
def test_what_holds_no_intensities_is_refused(
    tmp_path: Path, values: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ImageError) as caught:
        inspect(tmp_path / "a.npy")
    assert message in caught.value.fault and caught.value.hint


def test_a_printers_resolution_is_no_pixel_size(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "unit": "inch"}
    tifffile.imwrite(
        tmp_path / "a.tif", pixels_along("YX"), imagej=True, resolution=(72, 72), metadata=metadata
    )
    assert read(tmp_path / "a.tif").pixel_size == {}


def test_an_unreadable_pixel_size_does_not_spoil_the_image(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels_along("ZYX"), metadata=metadata, photometric="minisblack")
    path.write_bytes(path.read_bytes().replace(b'SizeX="0.2"', b'SizeX="0,2"'))
    image = read(path)
    assert (image.axes, image.pixel_size) == ("ZYX", {})
    np.testing.assert_array_equal(image.pixels, pixels_along("ZYX"))


def test_names_with_any_characters_are_listed(tmp_path: Path) -> None:
    names = ["a b.tif", "a.b.c.tif", "5²5.tif", "細胞.png", "-rf.npy"]
    for name in names:
        (tmp_path / name).touch()
    assert {each.name for each in list_images(tmp_path)} == set(names)


def test_an_accent_in_two_characters_is_the_same_as_in_one() -> None:
    assert images.stem("Zu\u0308rich.tif") == images.stem("Z\u00fcrich.png") == "Z\u00fcrich"


def test_other_files_that_an_ome_tiff_names_are_not_opened(tmp_path: Path) -> None:
    other, path = tmp_path / "other" / "secret.tif", tmp_path / "a.ome.tif"
    other.parent.mkdir()
    tifffile.imwrite(other, np.full((12, 10), 777, np.uint16))
    plane = '<TiffData FirstZ="{0}" IFD="0" PlaneCount="1"><UUID FileName="{1}">urn:uuid:{0}</UUID></TiffData>'
    size = 'SizeX="10" SizeY="12" SizeZ="2" SizeC="1" SizeT="1"'
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:0"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint16" {size}>{plane.format(0, path.name)}{plane.format(1, other)}'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, pixels_along("YX"), description=xml.encode(), metadata=None)
    with tifffile.TiffFile(path) as file:
        assert file.asarray().max() == 777, "the file does name the other"
    np.testing.assert_array_equal(read(path).pixels, pixels_along("YX"))


def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.tif").touch()
    monkeypatch.setattr(tifffile, "TiffFile", refuse)
    with pytest.raises(ImageError, match="may not be read") as caught:
        inspect(tmp_path / "a.tif")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="may not be read") as listed:
        list_images(tmp_path)
    assert "right to read" in caught.value.hint and "right to read" in listed.value.hint
