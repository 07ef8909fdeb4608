"""What is measured: one module per contender, each a server of its own.

Rules of this folder:
- Each server answers the same paths with the same events:
  `/burst` never suspends, `/paced` suspends before every event, `/sync` is a plain generator,
  `/declared` is a burst of items whose type the endpoint declares, `/idle` yields once, so that the
  client knows that the stream is open, and then never again. `/leave-idle` does the same and
  `/leave-sending` yields again and again, and both tell when their ``finally`` runs. `/pinged` is
  idle too, with a keep-alive every so many seconds, and `/tasks` tells how many tasks there are.
  What its library doesn't have, or what the plan doesn't ask it for, is left out.
- A server imports its own library and no other: one of them changes uvicorn when it is imported,
  and memory is measured.
- Endpoints are written as that library's users write them, each with its own loop: a generator
  around a generator would be paid for by every event.
- Where no item type is to be declared, a generator is annotated with ``Any``: both FastAPI and
  `sse_middleware` would otherwise validate every item, which is a scenario of its own.
"""
