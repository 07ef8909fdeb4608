"""What asyncio and trio do differently: clocks, wake-ups, timers, cancel scopes, task groups."""
