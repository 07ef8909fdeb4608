"""Splits bodies into the data of events, or follows the events of a body."""
