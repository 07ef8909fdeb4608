"""How an application under test tells that it has begun and ended something: lines on stdout."""


def tell(what: str) -> None:
    """Print a line for the test that waits for it."""
    print(what, flush=True)
