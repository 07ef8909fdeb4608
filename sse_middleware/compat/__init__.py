"""The names of other libraries, on this engine: what is left of a migration is one import."""
