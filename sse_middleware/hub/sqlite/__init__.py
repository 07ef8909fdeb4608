"""A store in a file of SQLite, for several workers on one machine."""
