"""What a response does with a subscription of a hub, or with a viewer of a run."""

from functools import partial

from starlette.responses import Response
from starlette.types import Scope

from sse_middleware.hub.runs.viewer import NOT_FOUND, Viewer
from sse_middleware.hub.runs.viewer_stream import ViewerControlFrames, ViewerProducer
from sse_middleware.hub.subscriber_stream import SubscriberControlFrames, SubscriptionProducer
from sse_middleware.hub.subscription import Subscription
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.stream_template import StreamTemplate
from sse_middleware.records import GapTold
from sse_middleware.request_context import RequestContext
from sse_middleware.wire.request_headers import last_event_id


def answer_instead(viewer: Viewer, scope: Scope) -> Response | None:
    """Return what answers a viewer of a run if there is nothing to stream, otherwise ``None``."""
    status = viewer.status(_id_of(scope))
    if status is None:
        return None
    return Response("no run has this key" if status == NOT_FOUND else None, status)


def producer_of_subscription(
    content: Subscription,
    scope: Scope,
    context: RequestContext,
    template: StreamTemplate,
    hints: ItemHints,
) -> tuple[SubscriptionProducer, SubscriberControlFrames]:
    """Return what streams a subscription, and what makes the stream's own frames.

    It goes on where the client has been. Nothing of the endpoint's runs any more.
    """
    context.forget_running()
    if isinstance(content, Viewer):
        control: SubscriberControlFrames = ViewerControlFrames(template.control, hints, content)
        producer: SubscriptionProducer = ViewerProducer(content, control)
    else:
        control = SubscriberControlFrames(template.control, hints, content)
        producer = SubscriptionProducer(content)
    content.resume(_id_of(scope))
    if context.registry().policy.observers:
        content.cursor.on_gap = partial(_tell_gap, context)
    if template.control.bare:
        content.cursor.sends_positions = False
    return producer, control


def _tell_gap(context: RequestContext, topics: list[str], reason: str) -> None:
    slot = context.slot
    assert slot is not None and slot.info is not None  # noqa: S101, PT018 - it is open, and observed
    slot.tell(GapTold(slot.info, tuple(topics), reason))


def _id_of(scope: Scope) -> str:
    return last_event_id(scope.get("headers", ()), scope.get("query_string", b""))
