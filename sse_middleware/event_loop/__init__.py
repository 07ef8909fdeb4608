"""What asyncio and trio do differently: clocks, wake-ups, timers, scopes, task groups, threads."""
