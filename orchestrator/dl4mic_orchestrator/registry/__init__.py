# SPDX-License-Identifier: BSD-3-Clause
"""The models: rows in the store, content in BentoML's model store."""

from dl4mic_orchestrator.registry.content import BentoContent, Content
from dl4mic_orchestrator.registry.registry import BrokenModelError, Origin, Registry

__all__ = ["BentoContent", "BrokenModelError", "Content", "Origin", "Registry"]
