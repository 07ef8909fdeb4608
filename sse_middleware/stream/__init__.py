"""One open response: its producer, its outbox, its writer, its connection, and how it ends."""
