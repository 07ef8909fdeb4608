"""OpenAPI's description of the endpoints that are tagged as streams."""
