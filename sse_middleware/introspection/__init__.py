"""Reads the objects of others: frameworks, and suspended generators."""
