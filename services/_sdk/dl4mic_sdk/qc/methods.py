# SPDX-License-Identifier: BSD-3-Clause
"""How the numbers of a QC report came about, in words for a publication."""

from __future__ import annotations

from typing import List

from dl4mic_sdk.citations import citation_texts
from dl4mic_sdk.qc.report_parts import ReportParts
from dl4mic_sdk.qc.warning_rules import TRAINED_ON
from dl4mic_sdk.versions import installed_versions


def methods_sentence(parts: ReportParts) -> str:
    """Say how the numbers came about, for the methods section of a publication."""
    result = parts.result
    count = len(result.rows)
    said = [
        _tested(parts, "{} {}".format(count, _plural(result.kind.tested, count))),
        result.kind.method,
        "Numbers were pooled over all images; means and standard deviations are over images.",
    ]
    if parts.comparison.several:
        text = "It is the best of {} models that were compared on these images. {}"
        said.append(text.format(len(parts.comparison.places), parts.comparison.method))
    return " ".join(said)


def _plural(name: str, count: int) -> str:
    """Put the first noun of a name into the plural: images with a target."""
    return name if count == 1 else name.replace("image", "images", 1)


def _tested(parts: ReportParts, images: str) -> str:
    model = parts.model
    if model is None:
        version = installed_versions(["dl4mic-sdk"]).get("dl4mic-sdk", "")
        return "Predictions of {} were scored (dl4mic {}).".format(images, version)
    text = "The {} model '{}' ({} weights; dl4mic service {} {}) was tested on {}{}."
    service = parts.record.get("service", parts.network)
    version = parts.record.get("service_version", "")
    return text.format(
        parts.network, model.name, model.weights, service, version, images, _apart(parts)
    )


def _apart(parts: ReportParts) -> str:
    """Claim that training and test are apart only where their fingerprints were compared."""
    known = any(each.get("sha256") for each in parts.record.get("data", {}).get("files", ()))
    seen = any(each.code == TRAINED_ON for each in parts.comparison.warnings)
    return ", none of them used in training (compared by content)" if known and not seen else ""


def citations_of(parts: ReportParts) -> List[str]:
    """Publications of the network, where it made the predictions, and those of the scores that are not among them."""
    cited = parts.manifest.get("citations", []) if parts.model else []
    named = {each["doi"] for each in cited if each.get("doi")}
    scores = parts.result.kind.citations
    return citation_texts(cited) + [
        each for each in scores if not any(doi in each for doi in named)
    ]
