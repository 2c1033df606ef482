# SPDX-License-Identifier: BSD-3-Clause
"""Files and folders that are refused before work starts: damaged, hostile, misnamed, or no files at all."""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from refusals import Refuse, Spoil, Words, call, predict_with, refusal_of, train_on
from servers import Server, write_spots

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.job_pb2 import Job

PIXELS = np.full((48, 48), 100, np.uint16)
LARGE = 1_000_000
MOST_NAMED = 100


def npy(descr: str, shape: tuple[int, ...], pixels: bytes = b"") -> bytes:
    """An NPY file whose header says what it is told to."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + pixels


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def tiff_claiming(width: int, height: int, **options: object) -> bytes:
    """A TIFF whose header says another size than it has."""
    content = bytearray(tiff(PIXELS, **options))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        tags = file.pages[0].tags
        for name, value in (("ImageWidth", width), ("ImageLength", height)):
            struct.pack_into("<HI", content, tags[name].offset + 2, 4, 1)
            struct.pack_into("<I", content, tags[name].offset + 8, value)
    return bytes(content)


def png_claiming(width: int, height: int, rows: int = 48) -> bytes:
    """A PNG file of 48 columns whose header says another size than it has."""
    content = bytearray(imagecodecs.png_encode(np.full((rows, 48), 100, np.uint16)))
    struct.pack_into(">II", content, 16, width, height)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    return bytes(content)


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


ON_TOO_MUCH = "which its"
"""Of pixels that a header claims: they cannot be in the file."""

DAMAGED: dict[str, tuple[bytes, str]] = {
    "claims-a-trillion.tif": (tiff_claiming(LARGE, LARGE), ON_TOO_MUCH),
    "claims-a-trillion-zlib.tif": (tiff_claiming(LARGE, LARGE, compression="zlib"), ON_TOO_MUCH),
    "claims-a-trillion-tiled.tif": (tiff_claiming(LARGE, LARGE, tile=(16, 16)), ON_TOO_MUCH),
    "cut.tif": (tiff(PIXELS)[:600], "cannot be read"),
    "cut-to-8-bytes.tif": (tiff(PIXELS)[:8], "cannot be read"),
    "empty.tif": (b"", "cannot be read"),
    "text.tif": (b"tomorrow\r\n", "cannot be read"),
    "html.png": (b"<!DOCTYPE html><html>404</html>", "not a PNG"),
    "bomb.png": (png_claiming(LARGE, LARGE), ON_TOO_MUCH),
    "more-than-it-says.png": (png_claiming(48, 48, rows=96), "not as many as its header says"),
    "fewer-than-it-says.png": (png_claiming(48, 48, rows=24), "not as many as its header says"),
    "nothing.png": (b"", "not a PNG"),
    "lies.npy": (npy("<u2", (LARGE, LARGE), bytes(64)), "claims"),
    "negative.npy": (npy("<u2", (-48, 48), bytes(64)), "holds no pixels"),
    "no-pixels.npy": (npy("<u2", (0, 48)), "holds no pixels"),
    "words.npy": (npy("<U4", (4, 4), bytes(256)), "no intensities"),
    "complex.npy": (npy("<c8", (4, 4), bytes(128)), "no intensities"),
    "nested.npy": (npy("<u2", (4, 4)).replace(b"(4, 4)", b"(" * 5000), "cannot be read"),
    "infinite.tif": (tiff(np.full((48, 48), np.inf, np.float32)), "2304 pixels that are NaN or"),
    "minus-infinite.npy": (
        npy("<f4", (48, 48), np.full((48, 48), -np.inf, np.float32).tobytes()),
        "2304 pixels that are NaN or",
    ),
}


def add(folder: Path, name: str, content: bytes) -> None:
    """Add an image with a mask that is fit."""
    (folder / "images" / name).write_bytes(content)
    mask = np.pad(np.uint8([[1, 2], [1, 2]]), 23)
    tifffile.imwrite(folder / "masks" / f"{Path(name).stem}.tif", mask)


def test_files_that_are_damaged_or_lie_are_all_named(refuse: Refuse, tmp_path: Path) -> None:
    write_spots(tmp_path, 3, seed=3)
    harm = tmp_path / "harm"
    for name, (content, _) in DAMAGED.items():
        add(tmp_path, name, content)
    pickled = pickle.dumps([Harmful(harm)], protocol=2)
    add(tmp_path, "pickle.npy", npy("|O", (1,), pickled))
    expected = {name: words for name, (_, words) in DAMAGED.items()}
    expected["pickle.npy"] = "holds Python objects, not numbers"
    refusal = refuse(train_on(tmp_path))
    assert (refusal.code, set(refusal.files)) == ("INVALID_INPUT", set(expected))
    wrong = {name: said for name, said in refusal.files.items() if expected[name] not in said}
    assert wrong == {}
    assert refusal.file_count == len(expected) and not harm.exists()
    refusal.assert_says(f"{len(expected)} of {2 * len(expected) + 6} files", "save it again")


def test_of_hundreds_of_files_some_are_named_and_all_are_counted(
    refuse: Refuse, tmp_path: Path
) -> None:
    write_spots(tmp_path, 1, seed=3)
    content = (tmp_path / "images" / "spots0.tif").read_bytes()
    for number in range(250):
        (tmp_path / "images" / f"cell{number}.tif").write_bytes(content)
        (tmp_path / "masks" / f"mask{number}.tif").write_bytes(content)
    refusal = refuse(train_on(tmp_path))
    assert refusal.code == "INVALID_INPUT"
    assert (len(refusal.files), refusal.file_count) == (MOST_NAMED, 500)
    refusal.assert_says("500 of 502 files have no counterpart", "cell0.tif", "and 480 more")


def of_the_same_stem(folder: Path) -> None:
    imagecodecs.imwrite(folder / "images" / "spots1.png", PIXELS)


def but_for_case(folder: Path) -> None:
    for part in ("images", "masks"):
        (folder / part / "Spots1.tif").write_bytes((folder / part / "spots1.tif").read_bytes())


def named(name: bytes) -> Spoil:
    """Rename a pair; the name's beginning is kept."""

    def spoil(folder: Path) -> None:
        for part in ("images", "masks"):
            path = os.fsencode(folder / part)
            os.rename(path + b"/spots1.tif", path + b"/" + name)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said", "files"),
    [
        (of_the_same_stem, ("same name but for the suffix",), {"spots1.tif", "spots1.png"}),
        (but_for_case, ("upper and lower case", "Keep one"), {"spots1.tif", "Spots1.tif"}),
        (named(b"a\nb.tif"), ("control characters", "Rename"), {"a\\nb.tif"}),
        (named(b"a\x1b[2Jb.tif"), ("control characters", "Rename"), {"a\\x1b[2Jb.tif"}),
        (named(b"a\r.tif"), ("control characters", "Rename"), {"a\\r.tif"}),
        (named(b"a\xff.tif"), ("are no text", "Rename"), {"a\\udcff.tif"}),
    ],
    ids=["stem", "case", "line feed", "escape", "carriage return", "no UTF-8"],
)
def test_names_that_cannot_be_kept(
    refuse: Refuse, tmp_path: Path, spoil: Spoil, said: Words, files: set[str]
) -> None:
    write_spots(tmp_path, 3, seed=3)
    spoil(tmp_path)
    refusal = refuse(train_on(tmp_path))
    assert (refusal.code, set(refusal.files)) == ("INVALID_INPUT", files)
    refusal.assert_says(*said)


def test_odd_names_that_can_be_kept_are(server: Server, tmp_path: Path, model: Path) -> None:
    names = [
        "Ä 1",
        "细胞",
        "a'b\"c$(x);*",
        "\u202etxt",
        "a" * 200,
        "-rf",
        "CON",
        "emoji 🧫",
        "a\\b",
    ]
    (tmp_path / "images").mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", PIXELS + np.uint16(number))
    job = server.wait(call(server, predict_with(model, f"{tmp_path}/images")).id)
    assert (job.state, job.progress.failed) == (Job.SUCCEEDED, 0), job.error


def test_what_is_hidden_or_no_file_is_passed_over(
    server: Server, refuse: Refuse, tmp_path: Path, model: Path
) -> None:
    """Nothing waits for a pipe, and a folder of nothing else holds no image."""
    images = tmp_path / "images"
    images.mkdir()
    os.mkfifo(images / "pipe.tif")
    (images / "folder.tif").mkdir()
    (images / "loop.tif").symlink_to(images / "loop.tif")
    (images / "gone.tif").symlink_to(images / "nowhere.tif")
    (images / "zero.tif").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(images / "socket.tif"))
    (images / ".hidden.tif").write_text("no image")
    (images / "._spots.tif").write_text("what macOS puts beside a file")
    refusal = refuse(predict_with(model, str(images)))
    assert refusal.code == "INVALID_INPUT"
    refusal.assert_says("holds no image", "gone.tif is no file but a link that leads nowhere")
    tifffile.imwrite(images / "good.tif", PIXELS)
    job = server.wait(call(server, predict_with(model, str(images))).id)
    assert (job.state, job.progress.done) == (Job.SUCCEEDED, 1), job.error


@pytest.mark.parametrize("path", ["/dev/zero", "{}/pipe"])
def test_a_location_that_is_neither_file_nor_folder(
    refuse: Refuse, tmp_path: Path, model: Path, path: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    refuse(predict_with(model, path.format(tmp_path))).assert_field(
        "data.source", "neither a file nor a folder"
    )


def test_a_pipe_instead_of_the_table_of_groups(refuse: Refuse, tmp_path: Path) -> None:
    write_spots(tmp_path, 3, seed=3)
    os.mkfifo(tmp_path / "images" / "groups.csv")
    refusal = refuse(train_on(tmp_path, split="group"))
    assert refusal.code == "INVALID_INPUT"
    refusal.assert_says("groups.csv is no file", "columns name (without suffix) and group")


def link(folder: Path, to: Path, name: str) -> None:
    """Put a link into a folder, in the place of what is there."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(to)


@pytest.mark.parametrize("name", ["spots1.tif", "groups.csv", ".hidden"])
def test_a_link_in_a_root_must_not_lead_out_of_it(
    server: Server, refuse: Refuse, tmp_path: Path, model: Path, name: str
) -> None:
    write_spots(tmp_path / "outside", 2, seed=3)
    folder = server.data / f"linked-{tmp_path.name}"
    write_spots(folder, 2, seed=4)
    link(folder / "images", tmp_path / "outside" / "images" / "spots1.tif", name)
    request = predict_with(model, f"lab:{folder.name}/images")
    refuse(request).assert_field("data.source", "leads out of its root", name, "the file itself")


def test_a_link_within_a_root_or_in_a_plain_folder_is_followed(
    server: Server, tmp_path: Path, model: Path
) -> None:
    """The user of a plain folder on the same machine could name the link's target as well."""
    folder = server.data / f"linked-{tmp_path.name}"
    write_spots(folder, 2, seed=4)
    link(folder / "images", server.data / "train" / "images" / "spots2.tif", "within.tif")
    write_spots(tmp_path / "plain", 1, seed=4)
    link(tmp_path / "plain" / "images", folder / "images" / "spots1.tif", "other.tif")
    for location, count in ((f"lab:{folder.name}/images", 3), (f"{tmp_path}/plain/images", 2)):
        job = server.wait(call(server, predict_with(model, location)).id)
        assert (job.state, job.progress.done) == (Job.SUCCEEDED, count), job.error


def test_a_link_in_a_root_must_not_lead_out_of_it_from_afar_either(
    server: Server, afar: Server, tmp_path: Path
) -> None:
    folder = server.data / f"linked-{tmp_path.name}"
    write_spots(folder, 2, seed=4)
    link(folder / "masks", tmp_path, "spots1.tif")
    request = train_on(tmp_path)
    request.data.CopyFrom(
        Dataset(source=f"lab:{folder.name}/images", target=f"lab:{folder.name}/masks")
    )
    refusal_of(afar, request).assert_field("data.target", "leads out of its root")
