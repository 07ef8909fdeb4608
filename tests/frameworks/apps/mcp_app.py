"""The MCP SDK's streamable HTTP transport: a tool that reports its progress, one that tells all."""

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("counter")


@server.tool()
async def count(to: int, context: Context) -> int:
    """Count, and report each number."""
    for number in range(to):
        await context.report_progress(number, to)
    return to


@server.tool()
async def change(context: Context) -> None:
    """Say that there are other tools now, to whoever listens."""
    await context.session.send_tool_list_changed()
    await context.notify_tools_changed()


app = server.streamable_http_app()
