"""The errors of the test kit. Each one fails the test and says what the kit saw.

    TestingError (an AssertionError)
    ├── the application under test is wrong
    │   ├── NoAnswerError       a message that was waited for did not come
    │   ├── NoEventError        an event or comment that was waited for did not come
    │   ├── ProtocolError       a message that ASGI doesn't allow at this point
    │   ├── StillRunningError   the application did not end in time
    │   └── LeftBehindError     a task, generator or stream outlives the block
    └── the test is wrong
        └── UsageError          it reads after a disconnect, has two readers, ...

An exception of the application is never wrapped. It is raised where a client would notice it.
"""


class TestingError(AssertionError):
    """Base of the kit's errors."""

    __test__ = False  # pytest would collect it by its name


class NoAnswerError(TestingError):
    """A message of the application did not come in time. Says which one."""


class NoEventError(TestingError):
    """No event or comment came in time, or the stream ended first. Shows what came so far."""


class ProtocolError(TestingError):
    """The application sent a message that ASGI doesn't allow, or doesn't allow at this point."""


class StillRunningError(TestingError):
    """The application did not end in time after its client had left. It has been cancelled."""


class LeftBehindError(TestingError):
    """Tasks, generators or streams that began in the block are still alive. Names each one."""


class UsageError(TestingError):
    """The test uses the kit in a way that can't work. Says how to do it instead."""
