"""What the kit says when a test can't go on. Each fails the test, and says what it saw.

    TestingError (an AssertionError)
    ├── yours: the application under test did wrong
    │   ├── NoAnswerError       a message that was waited for did not come
    │   ├── NoEventError        an event or comment that was waited for did not come
    │   ├── ProtocolError       a message that ASGI doesn't allow where it came
    │   ├── StillRunningError   it did not end in time
    │   └── LeftBehindError     it ended, and something of it lives on
    └── the test's own
        └── UsageError          what can't work: reading after a disconnect, two readers

What the application raises is never wrapped: it is raised where a client would notice it.
"""


class TestingError(AssertionError):
    """Base of the kit's errors."""

    __test__ = False  # pytest collects by the name


class NoAnswerError(TestingError):
    """The application did not send what was waited for in time. Says which message."""


class NoEventError(TestingError):
    """No event or comment came in time, or the stream ended before. Shows what came so far."""


class ProtocolError(TestingError):
    """The application sent a message that ASGI doesn't allow, or not where it came."""


class StillRunningError(TestingError):
    """The application did not end in time after its client had left. It has been cancelled."""


class LeftBehindError(TestingError):
    """Tasks, generators or streams that the block began still live. Names each."""


class UsageError(TestingError):
    """The test did what can't work. Says what, and the way out."""
