"""What a yielded item becomes: its declared type, its event's name, its bytes."""
