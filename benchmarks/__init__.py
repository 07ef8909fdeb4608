"""Compares `sse_middleware` with its peers: ``python -m benchmarks``. README.md says how."""
