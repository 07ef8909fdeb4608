"""Work for threads."""


def compute() -> None:
    """Take some real time, and no virtual time."""
    sum(range(1_000_000))
