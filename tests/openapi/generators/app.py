"""The example with typed events, a stream that breaks, and the number of open streams."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.routing import Route

from examples.typed import app, main
from sse_middleware import ServerSentEvent, StreamStatsEndpoint, event_stream, last_event_id


@event_stream
async def breaking(request: Request) -> AsyncIterator[ServerSentEvent]:
    """Break off after an event. Go on with its id when the client is back."""
    resumed = last_event_id(request)
    yield ServerSentEvent(data=f"after {resumed}", id="1")
    if not resumed:
        raise RuntimeError("the connection breaks")


app.router.routes += [Route("/breaking", breaking), Route("/streams", StreamStatsEndpoint())]

if __name__ == "__main__":
    main()
