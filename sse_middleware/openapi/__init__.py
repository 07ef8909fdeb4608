"""How OpenAPI describes the endpoints that are tagged as streams."""
