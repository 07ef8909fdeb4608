"""Passes the event stream of another server on: `relay`."""
