"""`HubRuns`: the runs of a hub, as an application uses them."""

from contextvars import copy_context
from typing import Any, Unpack

from sse_middleware.hub.lifecycle import HubLifecycle
from sse_middleware.hub.publishing import check_topic
from sse_middleware.hub.run import RUN_TOPIC, Run, RunState
from sse_middleware.hub.runs.plan import MAX_BYTES, TTL, Factory, RunPlan
from sse_middleware.hub.runs.viewer import Viewer
from sse_middleware.hub.store_calls import retried
from sse_middleware.hub.wanted import Where, checked_subject
from sse_middleware.items.item_type import ItemType
from sse_middleware.running_request import RUNNING_REQUEST
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.validation import (
    UNSET,
    check,
    check_count,
    check_function,
    check_limit,
    check_seconds,
    is_function,
)


class HubRuns(HubLifecycle):
    """Work that outlives its client: an answer of a model, a job.

    A generator runs in the hub, and each event that it yields is kept. Whoever views the run gets
    all of it, from the beginning, and goes on where it has been if it comes back.

    While the store is away, each call tries again, for about five seconds.
    """

    async def resumable(
        self,
        key: str,
        factory: Factory,
        *,
        ttl: float = TTL,
        restart: bool = False,
        max_bytes: int = MAX_BYTES,
        stop_when_unwatched: float | None = None,
        item_type: Any = None,
        subject: object = None,
        **settings: Unpack[StreamOptions],
    ) -> Viewer:
        """Begin a run, unless the key has one, and view it.

        ``EventSourceResponse(await hub.resumable(f"chat:{id}", lambda: answer(prompt)))``. The
        generator runs in a task of the hub, with a copy of the caller's context variables. So it
        goes on when the client leaves. What belongs to the request, such as a dependency with
        ``yield``, may be closed by then.

        A request that has an id only views: a client that comes back never begins a run again. Nor
        does ``HEAD``.
        `SSEMiddleware` tells the id of the request, if it has this hub.

        Args:
            key: names the run, 1 to 250 characters without control characters.
            factory: called without arguments, if the run begins. Returns an iterable or
                asynchronous iterable of items, as an `EventSourceResponse` takes it. ``None`` as an
                item does nothing.
            ttl: seconds that the run is kept after its end.
            restart: whether a run that the key has is ended, and a new one begins.
            max_bytes: of the run's events. If they take more, the run fails.
            stop_when_unwatched: seconds after which the run is stopped if nobody views it.
            item_type: data is validated and filtered as this type.
            subject: whose stream it is, for `disconnect`.
            settings: the settings of `StreamOptions`, for the run and for the stream of this
                viewer. They override those of the middleware and of the endpoint's `event_stream`.

        Raises:
            TopicError: the key can't be one.
            ConfigurationError: another argument can't work.
            StoreError: the store stays away.
            HubError: the hub is not open, or in another event loop.
            Exception: what the factory raised. The viewers learn that the run has failed.
        """
        topic = _topic_of(key)
        of_generators = "a function that isn't awaited, and returns a generator when it is called"
        check("factory", factory, is_function(factory), of_generators)
        check_seconds("ttl", ttl, "how long the run is kept after its end")
        check_count("max_bytes", max_bytes, "bytes")
        check_limit("stop_when_unwatched", stop_when_unwatched, "None lets the run go on")
        running, overrides = self._here(), Overrides(settings)
        owner = checked_subject(subject)
        await retried(running.know_store)
        request = RUNNING_REQUEST.get()
        if request is not None and request.only_views:
            run = await running.runs.find(topic)
        else:
            outer = StreamSettings() if request is None else request.settings
            declared = None if item_type in (None, UNSET) else ItemType.declared(item_type)
            run = await running.runs.begin(
                RunPlan(
                    topic,
                    factory,
                    overrides.over(outer),
                    copy_context(),
                    declared,
                    restart=restart,
                    ttl=ttl,
                    max_bytes=max_bytes,
                    unwatched_limit=stop_when_unwatched,
                )
            )
        return self._viewer(topic, run, overrides, owner, None)

    async def attach(
        self, key: str, *, where: Where | None = None, subject: object = None
    ) -> Viewer:
        """View the run of a key, which may have ended.

        The response answers with 404 if there is none, and with 204 if the client has an id and has
        had everything, or if what it had is gone. A 204 tells an ``EventSource`` to stop.

        Args:
            key: names the run.
            where: returns whether the viewer wants a `PublishedEvent`.
            subject: whose stream it is, for `disconnect`.

        Raises:
            TopicError: the key can't be one.
            ConfigurationError: another argument can't work.
            StoreError: the store stays away.
            HubError: the hub is not open, or in another event loop.
        """
        topic = _topic_of(key)
        check_function("where", where)
        owner = checked_subject(subject)
        running = self._here()
        await retried(running.know_store)
        run = await running.runs.find(topic)
        return self._viewer(topic, run, Overrides({}), owner, where)

    async def stop(self, key: str) -> bool:
        """Stop the run of a key, on whichever worker. Returns false if none runs.

        The generator is cancelled, and has `cleanup_timeout` seconds for its ``finally`` blocks.
        What it has yielded before is kept.

        Raises:
            TopicError: the key can't be one.
            StoreError: the store stays away.
            HubError: the hub is not open, or in another event loop.
        """
        return await self._here().runs.stop(_topic_of(key))

    async def state(self, key: str) -> RunState | None:
        """Return what the run of a key does, or how it has ended. ``None`` if there is none.

        Raises:
            TopicError: the key can't be one.
            StoreError: the store stays away.
            HubError: the hub is not open, or in another event loop.
        """
        run = await self._here().runs.find(_topic_of(key))
        return None if run is None else run.state

    def _viewer(
        self,
        topic: str,
        run: Run | None,
        overrides: Overrides,
        subject: str | None,
        where: Where | None,
    ) -> Viewer:
        return Viewer(
            self._find_running,
            topic,
            run,
            self._here().runs.watches,
            self._clock(),
            overrides=overrides,
            subject=subject,
            where=where,
        )


def _topic_of(key: object) -> str:
    """Return the topic of a key's run. Raises `TopicError` if it can't be a key."""
    return RUN_TOPIC + check_topic(key, "a key", longest=250)
