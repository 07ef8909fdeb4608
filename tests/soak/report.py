"""The table that a soak prints."""

from collections import Counter
from itertools import groupby

from .load import Load
from .resting import MEGABYTE, State

LINES = 12
"""Lines of the memory over time."""


class Report:
    """What was seen, and what was wrong with it.

    Args:
        title: which run it was.
    """

    load: Load

    def __init__(self, title: str) -> None:
        self.rests: list[tuple[str, State]] = []
        self.samples: list[tuple[float, float, int]] = []
        """Seconds, megabytes and connections."""
        self.wrong: list[str] = []
        self._title = title
        self._stop = "it was not told to stop"

    @property
    def last(self) -> State:
        """The last rest."""
        return self.rests[-1][1]

    def rest(self, name: str, state: State) -> None:
        self.rests.append((name, state))

    def stopped(self, code: int, seconds: float) -> None:
        self._stop = f"exit code {code} after {seconds:.1f} s"

    def text(self) -> str:
        """Return all of it."""
        parts = [f"\n--- soak: {self._title}", *self._memory()]
        if self.rests:
            parts += [*self._rests(), *self._closings(), *self._totals()]
        parts += [f"stop        {self._stop}", *(f"WRONG       {one}" for one in self.wrong)]
        return "\n".join(parts) + "\n"

    def _memory(self) -> list[str]:
        step = max(1, len(self.samples) // LINES)
        head = f"{'seconds':>8} {'RSS MB':>8} {'clients':>8}"
        return [
            head,
            *(f"{at:8.0f} {size:8.1f} {clients:8}" for at, size, clients in self.samples[::step]),
        ]

    def _rests(self) -> list[str]:
        head = f"{'at rest':12}{'RSS MB':>8}{'untrimmed':>10}{'objects':>9}{'tasks':>7}{'files':>7}"
        lines = [f"{head}{'threads':>9}{'streams':>9}"]
        for name, state in self.rests:
            answer = state.answer
            counts = [sum(answer[kind].values()) for kind in ("alive", "tasks", "files")]
            sizes = [answer[kind] / MEGABYTE for kind in ("resident", "untrimmed")]
            closed = sum(state.closings.values())
            lines.append(
                f"{name:12}{sizes[0]:8.1f}{sizes[1]:10.1f}{counts[0]:9}{counts[1]:7}{counts[2]:7}"
                f"{answer['threads']:9}{closed:9}"
            )
        return lines

    def _closings(self) -> list[str]:
        head = f"{'':30}{'visits':>8}  closed"
        closings = sorted(self.last.closings.items())
        by_name = {
            name: ", ".join(f"{reason} {number}" for (_, reason), number in group)
            for name, group in groupby(closings, lambda item: item[0][0])
        }
        visits = self.load.visits
        return [head, *(f"{name:30}{visits[name]:8}  {by_name.get(name, '-')}" for name in visits)]

    def _totals(self) -> list[str]:
        load, answer = self.load, self.last.answer
        reasons: Counter[str] = Counter()
        for (_, reason), number in self.last.closings.items():
            reasons[reason] += number
        closed = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        told = ", ".join(f"{kind} {number}" for kind, number in answer["told"].items())
        drains = f"{len(load.drains)}, the longest {max(load.drains, default=0):.1f} s"
        return [
            f"connections {sum(load.visits.values())}, at most {load.most_at_once} at once",
            f"events      {load.events} read",
            f"closings    {closed}",
            f"records     {told}",
            f"drains      {drains}",
        ]
