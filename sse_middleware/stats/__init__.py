"""What an operator sees of an application's streams."""
