"""Measures `sse_middleware` beside its peers: ``python -m benchmarks``. README.md says how."""
