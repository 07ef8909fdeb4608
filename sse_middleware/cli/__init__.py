"""The commands of ``python -m sse_middleware``."""
