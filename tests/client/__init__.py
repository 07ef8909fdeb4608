"""The TypeScript client, and other clients, with faults."""
