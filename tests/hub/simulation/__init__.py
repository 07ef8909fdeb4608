"""The hub over a store that loses, delays and lies, in virtual time.

`World` runs the real hubs. Each of its public methods of a few small numbers is something that may
happen. `Violation` is raised where a client's rights are broken:

- Clocks rise between two gaps, and no payload comes twice (but after ``reset``).
- What was published between two payloads that a client got, it got too, or it was told a gap.
- A client gets nothing of other topics, and is told no gap where nothing was lost.
- Nothing is read where nothing was missed.
- In the end, when all is well again, each client has had what the store has.

`RunsWorld` does the same for runs, with several processes that crash, stand still and end, and
clients that view through the whole middleware:

- Between the beginning of a run and its end, there are only events of its own, each once, written
  while its lease was held. Nothing comes after the end.
- A client that begins anew gets the run from its beginning. What it got is whole and in order, or
  it was told a gap. A client that comes back begins no run.
- A stop ends the run. What was said not to run doesn't go on.
- In the end, when all is well again, no client waits for ever, and what nobody produces has ended.
"""
