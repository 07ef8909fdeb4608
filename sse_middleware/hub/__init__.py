"""The hub: publish to topics, subscribe to them, and get what was missed."""
