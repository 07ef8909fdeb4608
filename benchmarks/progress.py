"""Says on standard error what is measured. Standard output is for the tables alone."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
