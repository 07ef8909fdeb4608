"""One publisher, many subscribers: what each contender does with an event for all of them.

Rules of this folder:
- `/subscribe` sends something at once, so that the client knows that it is subscribed, and then
  every event that is published.
- `/publish?count=50` publishes that many events in a single step of the event loop, and answers
  when it has published the last one. With `&every=0` each event has a step of its own, as if the
  publisher awaited something in between. With `&every=0.05` there are seconds between them. With
  `&tasks=1` each event has a task of its own, for those whose `publish` waits for another process.
- An event is encoded once, by the publisher, wherever a library lets its user do that.
"""
