"""A web service in front of the workers: ``CELERIAC_BROKER_URL=redis://… uvicorn examples.fastapi_service:app``.

One ``AsyncClient`` serves all callers on two connections to Redis. A caller that leaves cancels its request, which is
not computed if it still waits. Started with ``opentelemetry-instrument``, a caller's trace goes on into the workers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypedDict, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from producer import (
    AsyncClient,
    CeleriacError,
    DeadlineExceeded,
    ModelFailed,
    RemoteFailure,
    RequestError,
    RequestRevoked,
    ServiceUnavailable,
    WaitTimeout,
)
from producer.contract import AnswerSpan, LabelScore

_TIMEOUT_S = 10.0
#: When a caller may try again what was not answered in time, in seconds.
_RETRY_AFTER_S = 1
#: What nginx calls it; nobody reads it.
_CALLER_LEFT = 499
#: From the particular to the general.
_STATUSES: tuple[tuple[type[CeleriacError], HTTPStatus], ...] = (
    (ModelFailed, HTTPStatus.BAD_GATEWAY),
    (RemoteFailure, HTTPStatus.BAD_GATEWAY),
    (RequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT),
    (WaitTimeout, HTTPStatus.GATEWAY_TIMEOUT),
    (RequestRevoked, HTTPStatus.SERVICE_UNAVAILABLE),
    (ServiceUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
_TEMPORARY = {HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.SERVICE_UNAVAILABLE}

T = TypeVar("T")


class Text(BaseModel):
    """A text to classify."""

    text: str
    model: str | None = None


class Question(BaseModel):
    """A question about a text."""

    question: str
    text: str


class _State(TypedDict):
    client: AsyncClient


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncGenerator[_State]:
    async with AsyncClient(os.environ["CELERIAC_BROKER_URL"], timeout_s=_TIMEOUT_S) as client:
        yield {"client": client}


def client_of(request: Request) -> AsyncClient:
    """The client that the lifespan has made; tests put another in its place."""
    client: AsyncClient = request.state.client
    return client


Client = Annotated[AsyncClient, Depends(client_of)]
app = FastAPI(title="Text", lifespan=_lifespan)


@app.post("/classify")
async def classify(text: Text, request: Request, client: Client) -> list[LabelScore]:
    """The label of a text."""
    return await _unless_caller_leaves(request, client.classify(text.text, model=text.model))


@app.post("/answer")
async def answer(question: Question, request: Request, client: Client) -> AnswerSpan | list[AnswerSpan]:
    """The answer that a text gives to a question."""
    return await _unless_caller_leaves(request, client.answer(question.question, question.text))


@app.exception_handler(CeleriacError)
async def _refuse(_: Request, error: CeleriacError) -> JSONResponse:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    detail: dict[str, Any] = {"message": str(error)}
    if isinstance(error, RequestError):
        detail |= error.details
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status in _TEMPORARY else None
    return JSONResponse({"detail": detail}, status, headers)


async def _unless_caller_leaves(request: Request, call: Coroutine[Any, Any, T]) -> T:
    """Await a call of the client, and cancel it if the HTTP caller closes its connection before."""
    answered, left = asyncio.create_task(call), asyncio.create_task(_caller_leaves(request))
    try:
        await asyncio.wait((answered, left), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise HTTPException(_CALLER_LEFT)
        return answered.result()
    finally:
        # This also holds when the server stops and cancels this task.
        for task in (answered, left):
            task.cancel()
        await asyncio.gather(answered, left, return_exceptions=True)


async def _caller_leaves(request: Request) -> None:
    # The body has been read, so what comes next is the end.
    while (await request.receive())["type"] != "http.disconnect":
        pass
