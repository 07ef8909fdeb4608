"""The demo: one page, and one module for the Python behind each of its panels."""
