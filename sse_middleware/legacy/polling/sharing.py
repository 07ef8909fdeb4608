"""`Poll`: the calls of one endpoint for all subscribers that share them.

Rules of this file:
- One subscriber calls at a time, with its own request. The others wait in a queue. It goes on
  calling as long as its calls succeed. When a call fails, its subscriber goes to the end of the
  queue and the next one calls. The next one also calls when the caller leaves.
- A refusal (a 403, a redirect, ...) is for the subscriber whose call it answers. It raises there,
  and nobody else notices. A failure (a 503, an exception) is reported, and the next call waits
  longer, up to `LONGEST_PAUSE`.
- A failure of the very first call is raised, as long as the client can still be told.
- Two calls may overlap. Of their answers, the later call's counts.
- Once somebody was refused, credentials matter. From then on each new subscriber makes one call of
  its own, at once, before it gets anything that others have been sent.
- Subscribers share an answer only if their requests are equal in all headers that ``Vary`` names,
  in any answer so far. With ``Vary: *`` nobody shares.
"""

import logging
from collections.abc import Awaitable, Callable, Hashable
from math import inf
from typing import Protocol

import anyio

from sse_middleware.errors import printable
from sse_middleware.legacy.polling.call import NOT_MODIFIED, OK, SERVER_ERROR, Answer, NotPushable
from sse_middleware.legacy.polling.call_scope import Headers

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two calls of an endpoint that keeps failing, unless its own interval is longer.
Long enough to spare the endpoint, short enough that nobody reloads the page by hand."""

Call = Callable[[str], Awaitable[Answer]]
"""Calls the endpoint. Takes the last ``ETag``, or an empty string."""


class ResponseState(Protocol):
    """What a subscriber knows of its response."""

    begun: bool
    """Whether the status line of the stream has been sent."""


class Pace:
    """Says when the next call may be made.

    Args:
        interval: seconds between two calls.
    """

    def __init__(self, interval: float) -> None:
        self.next_at = 0.0
        self._interval = interval
        self._failures = 0

    @property
    def pause(self) -> float:
        """Seconds until the next call. They double with each failure in a row."""
        longest = max(LONGEST_PAUSE, self._interval)
        return min(self._interval * 2.0 ** min(self._failures, 32), longest)

    def called(self, *, failed: bool) -> None:
        """Note a call that has ended now."""
        self._failures = self._failures + 1 if failed else 0
        self.rest()

    def rest(self) -> None:
        """Wait the whole pause from now on."""
        self.next_at = anyio.current_time() + self.pause


class Subscriber:
    """One client of a poll.

    Args:
        group: what its request shares a poll with.
        call: calls the endpoint with its request.
        headers: the headers of its calls.
        response: the state of its response.
    """

    def __init__(
        self, group: "PollGroup", call: Call, headers: Headers, response: ResponseState
    ) -> None:
        self.call = call
        self.pace = Pace(group.interval)
        """The pace of its calls out of turn."""
        self.own_answer: Answer | None = None
        """The last document that its own call brought."""
        self.failed = False
        """Whether its last call failed."""
        self._group = group
        self._headers = headers
        self._response = response
        self._poll: Poll | None = None
        self._version = 0

    async def next_answer(self) -> Answer:
        """Wait for an answer that is newer than the last one.

        Raises:
            NotPushable: this subscriber is refused, or the very first answer is not a document.
            Exception: what the very first call raised, if the client can still be told.
        """
        while True:
            poll = self._place()
            if poll.latest is not None and poll.version > self._version and not self.must_call:
                self._version = poll.version
                poll.step_aside(self)
                return poll.latest
            await poll.step(self)

    @property
    def must_call(self) -> bool:
        """Whether it gets no answer before its own call has succeeded."""
        return self._group.distrusts and self._version == 0 and self.own_answer is None

    def is_told(self, *, refused: bool) -> bool:
        """Whether a failed call ends this subscription."""
        first = self._version == 0 and self.own_answer is None
        return refused or (first and not self._response.begun)

    def variant(self, names: frozenset[bytes]) -> Hashable:
        """Return what must be equal in subscribers that share answers which depend on headers."""
        if b"*" in names:
            return self
        return tuple(
            (name, tuple(value for found, value in self._headers if found == name))
            for name in sorted(names)
        )

    def leave(self) -> None:
        """Leave the poll."""
        if self._poll is not None:
            self._poll.leave(self)
            self._poll = None

    def _place(self) -> "Poll":
        """Return the poll that this subscriber shares. An answer's ``Vary`` may have split it."""
        poll = self._group.poll_of(self)
        if poll is not self._poll:
            self.leave()
            self._poll, self._version = poll, 0
            poll.members += 1
        return poll


class PollGroup:
    """The subscribers with equal requests and keys. Each poll is for those that share answers.

    Args:
        interval: seconds between two calls.
        name: the endpoint's name, for reports.
    """

    def __init__(self, interval: float, name: str) -> None:
        self.interval = interval
        self.name = name
        self.subscribers = 0
        self.distrusts = False
        """Whether a new subscriber must make a call of its own."""
        self._vary: frozenset[bytes] = frozenset()
        self._polls: dict[Hashable, Poll] = {}

    def poll_of(self, subscriber: Subscriber) -> "Poll":
        """Return the poll whose answers are for this subscriber. There may be none yet."""
        variant = subscriber.variant(self._vary)
        poll = self._polls.get(variant)
        if poll is None:
            poll = self._polls[variant] = Poll(self, subscriber)
        return poll

    def learn(self, vary: frozenset[bytes]) -> None:
        """Learn what answers depend on. Subscribers that differ in it share no longer."""
        if vary <= self._vary:
            return
        self._vary |= vary
        polls = list(self._polls.values())
        self._polls = {poll.owner.variant(self._vary): poll for poll in polls}
        for poll in polls:
            poll.wake_all()

    def drop(self, poll: "Poll") -> None:
        """Forget a poll that nobody takes part in."""
        self._polls.pop(poll.owner.variant(self._vary), None)


class Poll:
    """The latest answer for the subscribers that share it, and whose turn it is to call.

    Args:
        group: the group that it belongs to.
        owner: its first subscriber.
    """

    def __init__(self, group: PollGroup, owner: Subscriber) -> None:
        self.members = 0
        self.latest: Answer | None = None
        self.version = 0
        """Grows by one with each answer that differs from the one before."""
        self.owner = owner
        """The subscriber whose call brought the latest answer. It may have left."""
        self._group = group
        self._pace = Pace(group.interval)
        self._caller: Subscriber | None = None
        self._calling = False
        """Whether the caller is calling. Otherwise it waits until it is time."""
        self._waiting: dict[Subscriber, anyio.Event] = {}
        self._latest_began = -inf  # when the call for the latest answer did

    async def step(self, subscriber: Subscriber) -> None:
        """Call once, or wait until there is something to do. Raises what the subscriber is told."""
        if self._is_turn_of(subscriber):
            self._caller = subscriber
            await self._call_in_turn(subscriber)
        elif subscriber.must_call:
            await anyio.sleep_until(subscriber.pace.next_at)
            await self._call(subscriber, subscriber.pace)
        else:
            await self._wait(subscriber)

    def step_aside(self, subscriber: Subscriber) -> None:
        """Let another one call: the client of this one gets an answer, and may not read it."""
        if self._caller is subscriber:
            self._caller = None
            self._pass_on()

    def leave(self, subscriber: Subscriber) -> None:
        """Let a subscriber go. If it was the caller, the next one calls."""
        self.members -= 1
        if self._caller is subscriber:
            self._caller = None
        if self._caller is None:
            self._pass_on()
        if not self.members:
            self._group.drop(self)

    def keep(self, answer: Answer, subscriber: Subscriber, began: float) -> None:
        """Keep the answer to the call of a subscriber of this poll, unless there is a newer one.

        Args:
            answer: of the endpoint.
            subscriber: that has called.
            began: when the call did.
        """
        subscriber.own_answer = answer
        if began < self._latest_began:
            return
        self._latest_began = began
        if self.latest is None or answer.tag != self.latest.tag:
            self.latest, self.owner = answer, subscriber
            self.version += 1
            self.wake_all()

    def wake_all(self) -> None:
        """Let all that wait look again."""
        waiting, self._waiting = self._waiting, {}
        for woken in waiting.values():
            woken.set()

    def _is_turn_of(self, subscriber: Subscriber) -> bool:
        """Whether a subscriber may call. A caller that failed gives way to one that has not."""
        caller = self._caller
        if caller is None or caller is subscriber:
            return True
        return caller.failed and not (subscriber.failed or self._calling)

    async def _wait(self, subscriber: Subscriber) -> None:
        woken = self._waiting[subscriber] = anyio.Event()
        try:
            await woken.wait()
        finally:
            self._waiting.pop(subscriber, None)

    def _pass_on(self) -> None:
        """Make the one that has waited longest the caller."""
        if self._waiting:
            self._caller = next(iter(self._waiting))
            self._waiting.pop(self._caller).set()

    async def _call_in_turn(self, subscriber: Subscriber) -> None:
        pace = subscriber.pace if subscriber.must_call else self._pace
        if anyio.current_time() < pace.next_at:
            with anyio.CancelScope(deadline=pace.next_at):
                await self._wait(subscriber)  # the call of another one may bring an answer before
            return
        self._calling = True
        try:
            succeeded = await self._call(subscriber, pace)
        finally:
            self._calling = False
        self._caller = None
        if not succeeded:
            self._pass_on()

    async def _call(self, subscriber: Subscriber, pace: Pace) -> bool:
        """Call, and keep the answer. Returns false if that failed."""
        began = anyio.current_time()
        try:
            answer = await subscriber.call(self.latest.etag if self.latest else "")
            self._sort_in(answer, subscriber, began)
        except Exception as error:
            refused = isinstance(error, NotPushable) and error.is_refusal
            self._group.distrusts = self._group.distrusts or refused
            if subscriber.is_told(refused=refused):
                if self.latest is not None:
                    pace.rest()
                raise
            subscriber.failed = True
            pace.called(failed=True)
            report = "polling %s failed, next call in %g s: %s"
            logger.warning(report, self._group.name, pace.pause, printable(error))
            return False
        subscriber.failed = False
        self._pace.called(failed=False)
        return True

    def _sort_in(self, answer: Answer, subscriber: Subscriber, began: float) -> None:
        """Keep an answer in its subscriber's poll, which its ``Vary`` may have changed."""
        if answer.status < SERVER_ERROR:
            self._group.learn(answer.vary)
        unchanged = self.latest is not None and answer.status == NOT_MODIFIED
        if not unchanged and (answer.status != OK or answer.encoded):
            raise NotPushable(answer)
        poll = self._group.poll_of(subscriber)
        if not unchanged:
            poll.keep(answer, subscriber, began)
        elif poll is self:
            subscriber.own_answer = self.latest
