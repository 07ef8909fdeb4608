"""The MCP SDK's streamable HTTP transport: a tool that reports its progress, then answers."""

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("counter")


@server.tool()
async def count(to: int, context: Context) -> int:
    """Count, and report each number."""
    for number in range(to):
        await context.report_progress(number, to)
    return to


app = server.streamable_http_app()
