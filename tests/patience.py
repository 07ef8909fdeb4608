"""How long tests wait for what must happen, on a machine that others use too.

No test is about this time: what is expected comes at once on a quiet machine. It is half of what
pytest lets a test take.
"""

PATIENCE = 30.0
"""Seconds."""
