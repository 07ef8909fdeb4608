"""A store in Redis or Valkey, for many processes and machines. It needs the extra ``redis``."""

try:
    import redis  # noqa: F401 - whether it is there
except ImportError as error:
    raise ImportError(
        "a hub in Redis needs the package redis: pip install 'sse_middleware[redis]'"
    ) from error
