"""The raw bytes under FastAPI: what the framework itself costs a stream."""

from fastapi import FastAPI
from starlette.responses import StreamingResponse

from benchmarks.contenders.raw import idle, response

app = FastAPI()


@app.get("/idle", response_model=None)
async def get_idle() -> StreamingResponse:
    return response(idle())
