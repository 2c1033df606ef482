# SPDX-License-Identifier: BSD-3-Clause
"""What a training report says, in words and numbers, apart from how its pages look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk.citations import citation_texts
from dl4mic_sdk.qc.warning_rules import about_loss

if TYPE_CHECKING:
    from dl4mic_sdk.pairs import Item
    from dl4mic_sdk.task import TrainTask

Row = Mapping[str, float]
Fact = Tuple[str, str]
"""Name and value as text."""

AUTOMATIC = "chosen by the network"


@dataclass(frozen=True)
class Setting:
    """A parameter in force.

    Attributes
    ----------
    name, value, unit
        The value as JSON has it; None where it was left to the network, which did not say what it
        chose.
    origin
        ``"request"``, ``"preset"``, ``"default"`` or ``"network"``.
    meaning
        The manifest's help.
    """

    name: str
    value: Any
    unit: str
    origin: str
    meaning: str


@dataclass(frozen=True)
class TrainingFacts:
    """Everything that the report is made of.

    Attributes
    ----------
    request, task
        What was asked.
    record
        `model.json`.
    history
        One row of metrics an epoch; empty before the training.
    choices
        Values that the network chose for parameters that were left to it.
    noted
        Code and text of what the network warns of.
    """

    request: Mapping[str, Any]
    task: TrainTask
    record: Mapping[str, Any]
    history: Sequence[Row]
    choices: Mapping[str, Any]
    noted: Sequence[Tuple[str, str]] = ()

    @property
    def complete(self) -> bool:
        """The training has ended."""
        return bool(self.record.get("complete"))

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The network's manifest in plain values."""
        manifest: Mapping[str, Any] = self.request["manifest"]
        return manifest

    def as_plain(self) -> Dict[str, Any]:
        """Return the content of `training.json`."""
        return {
            "complete": self.complete,
            "model": self.request["model_name"],
            "record": self.record,
            "chosen_by_network": dict(self.choices),
            "parameters": [vars(each) for each in self.settings()],
            "best_epoch": self.best_epoch(),
            "warnings": [{"code": code, "message": text} for code, text in self.warnings()],
            "methods": self.methods(),
            "citations": self.citations(),
            "licence": self.record.get("licence", ""),
        }

    def settings(self) -> List[Setting]:
        """Return every parameter in force, the basic ones first."""
        meanings = self.manifest["parameters"]
        names = sorted(self.record["parameters"], key=lambda each: _is_advanced(meanings, each))
        return [self._setting(name, meanings.get(name, {})) for name in names]

    def _setting(self, name: str, meaning: Mapping[str, Any]) -> Setting:
        value = self.record["parameters"][name]
        origin = self._origin(name)
        if value is None:
            value, origin = self._chosen().get(name), "network"
        return Setting(name, value, meaning.get("unit", ""), origin, meaning.get("help", ""))

    def _chosen(self) -> Dict[str, Any]:
        """Return what the SDK chose and what shows in the loss record, then what the network noted."""
        chosen: Dict[str, Any] = {"split": self.record["split"].get("mode")}
        if self.history and "learning_rate" in self.history[0]:
            chosen["learning_rate"] = self.history[0]["learning_rate"]
        return dict(chosen, **self.choices)

    def _origin(self, name: str) -> str:
        if name in self.record.get("given", ()):
            return "request"
        preset = self.manifest.get("presets", {}).get(self.record.get("preset"), {})
        return "preset" if name in preset.get("parameters", {}) else "default"

    def warnings(self) -> List[Tuple[str, str]]:
        """Code and text of what a reader must know, of the data, the training and the loss."""
        of_loss = [(each.code, each.message) for each in about_loss(self.history)]
        return [*self.task.data.warnings, *self.noted, *of_loss]

    def overview(self) -> List[Fact]:
        """Network, model, device, time."""
        record, manifest = self.record, self.manifest
        service = "{} {}".format(record.get("service", ""), record.get("service_version", ""))
        return [
            ("Model", self.request["model_name"]),
            (
                "Network",
                "{} (service {})".format(manifest.get("title", record["network"]), service),
            ),
            ("Task", manifest.get("task", "")),
            ("Preset", record.get("preset", "")),
            ("Started from", self._parent()),
            ("Device", "{name} ({kind})".format(**record["device"])),
            ("Begun", record.get("begin_time", "")),
            ("Duration", duration(record["seconds"]) if "seconds" in record else "not ended yet"),
            ("Weights kept", ", ".join(record.get("weights", ()))),
            ("Licence", record.get("licence", "")),
        ]

    def _parent(self) -> str:
        parent = self.record.get("parent")
        return "{name} ({weights} weights)".format(**parent) if parent else "random weights"

    def data(self) -> List[Fact]:
        """Images, sizes, intensities, objects, and what was kept apart."""
        task, summary = self.task, self.task.data
        source = self.request["data"]
        return [
            ("Images", source["source"]),
            ("Targets", source.get("target") or ""),
            ("Used for training", _sizes(task.train)),
            ("Used for validation", _sizes(task.validation) or "nothing"),
            ("Kept apart", self._split()),
            ("Pixel size", _micrometres(summary.pixel_size) or "not stated in the files"),
            ("Pixel type", ", ".join(sorted({each.dtype for each in summary.files}))),
            ("Intensities", _percentiles(summary.intensity)),
            ("Objects", _objects(summary.object_count, summary.object_extent)),
        ]

    def _split(self) -> str:
        """Say how the validation part was chosen; names and regions are in `training.json`."""
        split = dict(self.record["split"])
        mode = str(split.pop("mode", ""))
        numbers = ["{} {}".format(key, value) for key, value in split.items() if _is_scalar(value)]
        return "; ".join([_SPLITS.get(mode, mode), *numbers])

    def best_epoch(self) -> Optional[int]:
        """Epoch of the lowest validation loss, or of the lowest training loss without validation."""
        for name in ("val_loss", "loss"):
            rows = [row for row in self.history if name in row]
            if rows:
                return int(min(rows, key=lambda row: row[name])["epoch"])
        return None

    def results(self) -> List[Tuple[str, str, str]]:
        """Name of each recorded metric with its value at the best and at the last epoch."""
        if not self.history:
            return []
        best = next(row for row in self.history if row["epoch"] == self.best_epoch())
        last = self.history[-1]
        names = [name for name in last if name not in _NO_RESULTS]
        return [(name, _number(best.get(name)), _number(last.get(name))) for name in names]

    def methods(self) -> str:
        """Say how the model was trained, for the methods section of a publication."""
        record, validation = self.record, len(self.task.validation)
        basic = self._basic_settings()
        text = (
            "{network} ({service} {version}, dl4mic) was trained from {start} on {train} ({kind})"
            "{validation}, with {settings}{outcome}, on {device}. Software: {versions}."
        )
        return text.format(
            network=self.manifest.get("title", record["network"]),
            service=record.get("service", ""),
            version=record.get("service_version", ""),
            start=self._parent(),
            train=_counted(len(self.task.train), "image"),
            kind=_said(self.task.data.supervision),
            validation=", {} kept apart for validation".format(_counted(validation, "image"))
            if validation
            else "",
            settings=", ".join("{} {}".format(_said(each.name), shown(each)) for each in basic),
            outcome=self._outcome(),
            device=record["device"]["name"],
            versions=", ".join(
                "{} {}".format(*each) for each in sorted(record["versions"].items())
            ),
        )

    def _basic_settings(self) -> List[Setting]:
        meanings = self.manifest["parameters"]
        known = [each for each in self.settings() if each.value is not None]
        return [each for each in known if not _is_advanced(meanings, each.name)]

    def _outcome(self) -> str:
        if not self.complete:
            return ""
        epochs, best = len(self.history), self.best_epoch()
        text = "; {} took {}".format(_counted(epochs, "epoch"), duration(self.record["seconds"]))
        return text + (", the lowest loss came in epoch {}".format(best) if best else "")

    def citations(self) -> List[str]:
        """Publications to cite."""
        return citation_texts(self.record.get("citations", ()))


_NO_RESULTS = ("epoch", "seconds", "steps_per_second", "device_memory_bytes")
_SPLITS = {
    "image": "whole images",
    "region": "a region of every image, with a strip beside it that neither uses",
    "none": "nothing",
}


def shown(setting: Setting) -> str:
    """Value of a parameter as text, with its unit."""
    if setting.value is None:
        return AUTOMATIC
    value = setting.value
    text = " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if isinstance(value, bool):
        text = "on" if value else "off"
    return "{} {}".format(text, setting.unit).strip()


def duration(seconds: float) -> str:
    """Say a time in the two largest units."""
    total = round(seconds)
    if total < 60:
        return "{:.1f} s".format(seconds)
    if total < 3600:
        return "{} min {} s".format(total // 60, total % 60)
    return "{} h {} min".format(total // 3600, total % 3600 // 60)


def _is_advanced(meanings: Mapping[str, Any], name: str) -> bool:
    return bool(meanings.get(name, {}).get("advanced", False))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))


def _sizes(items: Sequence[Item]) -> str:
    """Say how many images there are, and their shapes: ``12 images of 256 x 256 (YX)``."""
    if not items:
        return ""
    shapes = sorted({each.shape for each in items})
    said = [" x ".join(map(str, each)) for each in shapes]
    sizes = said[0] if len(said) == 1 else "{} to {}".format(said[0], said[-1])
    return "{} of {} ({})".format(_counted(len(items), "image"), sizes, items[0].axes)


def _said(name: str) -> str:
    return name.replace("_", " ")


def _counted(count: int, thing: str) -> str:
    return "{} {}{}".format(count, thing, "" if count == 1 else "s")


def _micrometres(pixel_size: Mapping[str, float]) -> str:
    return ", ".join("{} {:.4g} \u00b5m".format(axis, size) for axis, size in pixel_size.items())


def _percentiles(intensity: Mapping[str, float]) -> str:
    found = ["{} %: {:.5g}".format(percent, value) for percent, value in intensity.items()]
    return "percentiles " + ", ".join(found) if found else ""


def _objects(count: int, extent: Mapping[str, float]) -> str:
    if not count:
        return ""
    sizes = ", ".join("{} {:.4g}".format(axis, size) for axis, size in extent.items())
    return "{}, median extent in pixels: {}".format(count, sizes) if sizes else str(count)


def _number(value: Optional[float]) -> str:
    return "" if value is None else "{:.5g}".format(value)
