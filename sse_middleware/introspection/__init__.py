"""Reads the objects of frameworks: of Starlette, and of FastAPI if it is installed."""
