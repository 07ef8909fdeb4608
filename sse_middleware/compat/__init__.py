"""The names of other libraries on this package's engine. To migrate, change one import."""
