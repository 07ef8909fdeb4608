"""Reads whether Flask or Quart runs a view. Neither is a dependency, and neither is imported."""

import sys


def running_view() -> str | None:
    """Return the framework's name and the view's, as ``flask view 'events'``, or ``None``."""
    if "flask" not in sys.modules and "quart" not in sys.modules:  # the usual case
        return None
    for name in ("flask", "quart"):
        framework = sys.modules.get(name)
        if framework is not None and framework.has_request_context():
            return f"{name} view {framework.request.endpoint!r}"
    return None
