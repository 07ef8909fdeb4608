"""The hub over a store that loses, delays and lies, in virtual time.

`World` runs the real hubs. Each of its public methods of a few small numbers is something that may
happen. `Violation` is raised where a client's rights are broken:

- Clocks rise between two gaps, and no payload comes twice (but after ``reset``).
- What was published between two payloads that a client got, it got too, or it was told a gap.
- A client gets nothing of other topics, and is told no gap where nothing was lost.
- Nothing is read where nothing was missed.
- In the end, when all is well again, each client has had what the store has.
"""
