"""Presets: what clients of well-known protocols expect of a stream (``preset=presets.OPENAI``)."""

from sse_middleware.presets.datastar import patch_elements, patch_signals
from sse_middleware.presets.preset import Preset
from sse_middleware.presets.protocols import (
    AI_SDK,
    ANTHROPIC,
    DATASTAR,
    HTMX,
    MCP,
    OPENAI,
    mcp,
    named_by_type,
)

__all__ = [
    "AI_SDK",
    "ANTHROPIC",
    "DATASTAR",
    "HTMX",
    "MCP",
    "OPENAI",
    "Preset",
    "mcp",
    "named_by_type",
    "patch_elements",
    "patch_signals",
]
