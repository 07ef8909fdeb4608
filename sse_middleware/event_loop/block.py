"""`Block`: what a cancel scope tells the block that it guards."""

from typing import Protocol


class Block(Protocol):
    """Is told what happens to it. None of these may raise."""

    def on_suspend(self) -> None:
        """Act before the task suspends with the block's coroutine."""

    def on_outer_cancel(self) -> None:
        """Know that a scope outside is cancelled. The block is cancelled once."""

    def on_abandon(self) -> None:
        """Know that it is given up, because nothing could end it."""


class _Untold:
    """A block that nothing is told."""

    @staticmethod
    def on_suspend() -> None:
        """Do nothing."""

    @staticmethod
    def on_outer_cancel() -> None:
        """Do nothing."""

    @staticmethod
    def on_abandon() -> None:
        """Do nothing."""


UNTOLD: Block = _Untold
"""Stands for a block that wants to be told nothing."""
