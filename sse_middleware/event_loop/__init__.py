"""What asyncio and trio do differently, from clocks and timers to the end of an event loop."""
