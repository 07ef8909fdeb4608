"""The application of `legacy_alone`, unchanged, under the middleware."""

from benchmarks.contenders.legacy_alone import app as legacy
from sse_middleware import SSEMiddleware

app = SSEMiddleware(legacy)
