"""What a hub has in this process, for those who look at it: topics, and runs.

Rules of this file:
- Nothing is asked of the store, and nothing is counted before somebody looks.
- What is shown of a topic is what this process knows. The store may keep more, and topics without
  subscribers here.
- Topics of the hub's own aren't shown.
"""

from dataclasses import dataclass
from heapq import nlargest

from sse_middleware.hub.run import RUN_TOPIC
from sse_middleware.hub.running import RunningHub
from sse_middleware.hub.runs.ended_runs import EndedRun
from sse_middleware.hub.runs.runner import Runner
from sse_middleware.hub.topic import Topic

_SECOND = 1_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True)
class TopicOverview:
    """A topic that somebody subscribes to here, or did half a minute ago."""

    name: str
    subscribers: int
    kept: int
    """How many events this process holds for its subscribers."""
    last: float
    """When the last one was published, in seconds since 1970. 0 if none is known."""


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run that is produced here, was, or is viewed here."""

    key: str
    state: str
    """A `RunState`, or ``""`` if another process produces it."""
    began: float
    """When it began, in seconds since 1970. 0 if another process produces it."""
    ended: float
    """When it ended, 0 if it hasn't."""
    size: int
    """How many bytes its events have, as far as they were produced here."""
    viewers: int


def topics_of(hub: RunningHub, limit: int) -> tuple[int, list[TopicOverview]]:
    """Return how many topics there are, and those with the most subscribers."""
    found = [topic for name, topic in hub.worker.topics.items() if name[0] != "\0"]
    shown = nlargest(limit, found, key=lambda topic: len(topic.subscribers))
    return len(found), [_topic_overview(topic) for topic in shown]


def runs_of(hub: RunningHub, limit: int) -> tuple[int, list[RunOverview]]:
    """Return how many runs there are, and the first ones: those that run, the newest first.

    Runs that have ended are known from the first call on.
    """
    running = [runner for runner in hub.runs.runners if runner.began is not None]
    rows = [_run_overview(hub, runner) for runner in reversed(running)]
    ended = [_ended_run_overview(hub, run) for run in hub.runs.keep_ended()]
    known = {row.key for row in (*rows, *ended)}
    viewed = [
        RunOverview(key, "", 0, 0, 0, len(topic.subscribers))
        for name, topic in hub.worker.topics.items()
        if name.startswith(RUN_TOPIC)
        and topic.subscribers
        and (key := name.removeprefix(RUN_TOPIC)) not in known
    ]
    rows = [*rows, *viewed, *ended]
    return len(rows), rows[:limit]


def _run_overview(hub: RunningHub, runner: Runner) -> RunOverview:
    began = (runner.began or 0) / _SECOND
    viewers = _viewers_of(hub, runner.key)
    return RunOverview(runner.key, runner.state.value, began, 0, runner.size, viewers)


def _ended_run_overview(hub: RunningHub, run: EndedRun) -> RunOverview:
    viewers = _viewers_of(hub, run.key)
    began, ended = run.began / _SECOND, run.ended / _SECOND
    return RunOverview(run.key, run.state.value, began, ended, run.size, viewers)


def _viewers_of(hub: RunningHub, key: str) -> int:
    topic = hub.worker.topics.get(RUN_TOPIC + key)
    return 0 if topic is None else len(topic.subscribers)


def _topic_overview(topic: Topic) -> TopicOverview:
    last = topic.ring.last / _SECOND if len(topic.ring) else 0
    return TopicOverview(topic.name, len(topic.subscribers), len(topic.ring), last)
