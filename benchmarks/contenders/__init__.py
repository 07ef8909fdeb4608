"""What is measured: one module per contender, each with its own server.

Rules of this folder:
- Each server answers the same paths with the same events. `/burst` never suspends. `/paced`
  suspends before every event. `/sync` is a plain generator. `/declared` is a burst of items whose
  type the endpoint declares. `/idle` yields once, so that the client knows that the stream is open,
  and then never again. `/leave-idle` does the same, and `/leave-sending` yields again and again.
  Both report when their ``finally`` runs. `/pinged` is idle too, with a keep-alive in every period.
  `/tokens` and `/token-events` send small events with a pause after each. `/queued` is fed by a
  queue, and `/feed` puts a burst into all queues. `/tasks` tells how many tasks there are. A server
  leaves out what its library doesn't have and what the plan doesn't request.
- A server imports its own library and no other: one of them changes uvicorn when it is imported,
  and memory is measured.
- Endpoints are written as that library's users write them, each with its own loop: a generator
  around a generator would slow down every event.
- A generator without a declared item type is annotated with ``Any``. Otherwise both FastAPI and
  `sse_middleware` would validate every item, which is another scenario.
"""
