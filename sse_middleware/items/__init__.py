"""From a yielded item to an event: the declared type, the event's name, the bytes."""
