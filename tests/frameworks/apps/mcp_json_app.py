"""As `mcp_app`, but it answers with plain JSON."""

from tests.frameworks.apps.mcp_app import server

app = server.streamable_http_app(json_response=True)
