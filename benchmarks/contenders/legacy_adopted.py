"""The same application, untouched, under the middleware."""

from benchmarks.contenders.legacy_alone import app as legacy
from sse_middleware import SSEMiddleware

app = SSEMiddleware(legacy)
