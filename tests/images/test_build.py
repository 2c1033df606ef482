# SPDX-License-Identifier: BSD-3-Clause
"""What `make images` builds and says, with builders that are scripts, and the lock of the base images."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "helm" / "images"))
import bases
import build

ROOT = build.ROOT
DIGEST = "sha256:" + "0f" * 32


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_every_service_has_an_image_and_those_with_cuda_are_named_apart() -> None:
    references = [image.reference for image in build.all_images()]
    services = {path.parent.name for path in ROOT.glob("services/*/service.yaml")}
    assert {f"dl4mic-{name}" for name in services} < {each.partition(":")[0] for each in references}
    assert len(references) == len(set(references))
    for image in build.all_images():
        assert image.dockerfile.exists() and image.tag.endswith("-gpu") is image.gpu


def test_every_image_has_a_base() -> None:
    assert {image.python for image in build.all_images()} <= set(bases.read_bases())


def test_an_image_says_what_it_is() -> None:
    (image,) = [each for each in build.all_images() if each.name == "dl4mic-fakes"]
    command = build.build_command(image, bases.Base("python:3.11", DIGEST), ["b"], ["--x"])
    assert command[:5] == ["b", "-t", image.reference, "-f", str(image.dockerfile)]
    assert command[-2:] == ["--x", str(ROOT)]
    assert f"BASE=python:3.11@{DIGEST}" in command and "LOCK=requirements.txt" in command
    labels = dict(each.partition("=")[::2] for each in command if each.startswith("org."))
    assert labels["org.dl4mic.networks"] == "blur"
    assert labels["org.opencontainers.image.licenses"] == "BSD-3-Clause"
    assert "10.1109/TSMC.1979.4310076" in labels["org.dl4mic.citations"]
    assert labels["org.opencontainers.image.base.digest"] == DIGEST
    commit = labels["org.opencontainers.image.revision"].removesuffix("-dirty")
    assert re.fullmatch("[0-9a-f]{40}" if (ROOT / ".git").exists() else "", commit)


def test_what_was_built_what_failed_and_what_was_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = script(tmp_path, "builder", 'case "$*" in *-fakes*) exit 3;; esac')
    assert build.main(["--builder", str(builder)]) == 1
    said = capsys.readouterr()
    verdicts = dict(line.split(None, 1) for line in said.out.splitlines() if line[:3] != "===")
    of = {name.partition(":")[0]: words for name, words in verdicts.items() if "-gpu" not in name}
    assert of.pop("dl4mic-fakes") == "failed: the builder's exit status is 3"
    assert set(of.values()) == {"built"}
    assert all("say --gpu" in words for name, words in verdicts.items() if "-gpu" in name)
    assert "its digest is not locked" in said.err


def test_one_image_is_built_with_a_mirror_s_settings_that_do_not_stay(tmp_path: Path) -> None:
    builder = script(tmp_path, "builder", f'printf "%s\\n" "$@" >{tmp_path}/called')
    pip_conf = tmp_path / "pip.conf"
    names = ["dl4mic-fakes", "--builder", str(builder), "--pip-conf", str(pip_conf)]
    assert build.main(names) == 0
    called = (tmp_path / "called").read_text().splitlines()
    assert called[called.index("--secret") + 1] == f"id=pip.conf,src={pip_conf}"


def test_an_image_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["dl4mic-none", "--builder", "true"]) == 2
    assert "no image dl4mic-none; there are dl4mic-orchestrator, " in capsys.readouterr().err


def test_no_builder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main(["dl4mic-fakes"]) == 2
    assert "podman, docker, buildah" in capsys.readouterr().err


@pytest.mark.parametrize("digest", ["sha256:1234", "latest", DIGEST.upper()])
def test_a_digest_that_is_none(digest: str, tmp_path: Path) -> None:
    lock = tmp_path / "bases.yaml"
    lock.write_text(f'"3.11": {{image: "python:3.11", digest: "{digest}"}}\n')
    with pytest.raises(ValueError, match="expected an image, and a digest"):
        bases.read_bases(lock)


def resolve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str) -> tuple[int, str]:
    """Run ``make lock-images`` over a lock of its own, its registry a script."""
    lock = tmp_path / "bases.yaml"
    lock.write_text('# Kept.\n"3.11":\n  image: python:3.11\n  digest: unresolved\n')
    script(tmp_path, "skopeo", answer)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(bases, "LOCK", lock)
    return bases.main(), lock.read_text()


def test_a_digest_is_written_as_the_registry_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, text = resolve(monkeypatch, tmp_path, f"echo {DIGEST}")
    assert status == 0
    assert text == f'# Kept.\n"3.11":\n  image: python:3.11\n  digest: {DIGEST}\n'


@pytest.mark.parametrize("answer", ["echo no route to host >&2; exit 1", "echo nonsense"])
def test_a_digest_that_cannot_be_asked_for_is_not_invented(
    answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, text = resolve(monkeypatch, tmp_path, answer)
    assert status == 1 and text.endswith("digest: unresolved\n")
