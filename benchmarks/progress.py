"""Tells what is being measured, on standard error: the tables have standard output alone."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
