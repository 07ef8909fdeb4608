"""Gateways that pass on the stream of an upstream, and the upstream itself."""
