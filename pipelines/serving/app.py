"""The HTTP interface: what is asked, who answers, and what each error is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from gan_core.bundle import Generator
from gan_core.errors import ConfigError, GanError
from pipelines.serving.answers import answer, check_format
from pipelines.serving.batcher import Batcher, Busy, Made
from pipelines.serving.limits import Limits
from pipelines.serving.metrics import Metrics
from pipelines.serving.openapi import SAMPLED, Problem, described, problems
from pipelines.serving.page import form
from pipelines.serving.questions import Sample, SampleQuery
from pipelines.serving.reload import Follower, Source
from pipelines.serving.traffic import BodyLimit, Traffic

SMALL = 16_384  # numbers, encoded in a millisecond: less than it costs to ask a thread under load
GONE = 499  # as nginx logs a client that closed the connection; nobody sees it


class Health(BaseModel):
    """version: its URI.  since: when it began to be served, UTC in ISO 8601."""

    status: Literal["ok"]
    version: str
    since: str


class Ready(BaseModel):
    """Whether another request would be taken now."""

    ready: Literal[True]


class Service:
    """What the handlers share: a generator behind a queue, and who looks after it."""

    def __init__(self, source: Source, generator: Generator, limits: Limits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.batcher = Batcher(generator, limits, self.metrics.passed)
        self.metrics.watch_queue(lambda: self.batcher.waiting)
        self.follower = Follower(source, self.batcher, self.metrics)

    async def sample(self, request: Request, question: Sample | SampleQuery) -> Response:
        """The images, or the error that is theirs.  ConfigError, Busy, TimeoutError."""
        generator = self.batcher.generator
        if question.n > self.limits.max_images:
            raise ConfigError(f"n={question.n}: at most {self.limits.max_images} images are made for one request; "
                              f"n={self.limits.max_images} works")
        check_format(question.format, generator)
        wanted = question.wanted(generator)
        made = await self._first(self.batcher.submit(wanted), request)
        if made is None:
            self.metrics.abandoned.inc()
            return Response(status_code=GONE)
        if made.images.size <= SMALL:
            return answer(made, wanted, question.format)
        return await asyncio.to_thread(answer, made, wanted, question.format)

    async def _first(self, future: Future[Made], request: Request) -> Made | None:
        """What is made; None when the client went away before.  TimeoutError.  Whatever ends the wait, an image that
        nobody waits for is not begun.
        """
        made, gone = asyncio.wrap_future(future), asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait((made, gone), timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if made.done():
                return made.result()
            if gone.done():
                return None
            raise TimeoutError
        finally:
            future.cancel()  # at once: asyncio's own passes it on only after the answer has left
            made.cancel()
            gone.cancel()


async def disconnected(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(source: Source, generator: Generator, limits: Limits, reload_seconds: float = 10.0) -> FastAPI:
    """The ASGI application, which serves `generator` until its address means another one."""
    service = Service(source, generator, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.follower.start(reload_seconds)
        yield
        service.follower.stop()
        await asyncio.to_thread(service.batcher.close)

    # the pages that FastAPI makes of the interface fetch their scripts from another host
    app = FastAPI(title="gan serve-model", version="1", lifespan=lifespan, openapi_url=None)
    _add_sampling(app, service)
    _add_looking_after(app, service)
    _add_errors(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Traffic, metrics=service.metrics)
    return app


def _add_sampling(app: FastAPI, service: Service) -> None:
    common: dict[str, Any] = {"response_class": Response, "responses": SAMPLED}

    @app.post("/sample", summary="Images, asked for in JSON", **{
        **common, "responses": SAMPLED | problems(413),
    })
    async def sample(request: Request, question: Annotated[Sample, Body()]) -> Response:
        return await service.sample(request, question)

    @app.get("/sample", summary="Images, asked for in the address", **common)
    async def sample_by_address(request: Request, question: Annotated[SampleQuery, Query()]) -> Response:
        return await service.sample(request, question)

    @app.get("/", summary="A page to ask for images", response_class=HTMLResponse)
    async def page() -> str:
        return form(service.batcher.generator, service.limits.max_images)


def _add_looking_after(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the server is alive, and what it serves")
    async def health() -> Health:
        since = service.follower.since.isoformat(timespec="seconds")
        return Health(status="ok", version=service.batcher.generator.uri, since=since)

    @app.get("/ready", summary="Whether another request would be taken now", responses=problems(503))
    async def ready() -> Ready:
        if not service.batcher.ready:
            raise Busy
        return Ready(ready=True)

    @app.get("/metrics", summary="For Prometheus", response_class=Response,
             responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(described(app, service.batcher.generator, service.limits.max_images))


def _add_errors(app: FastAPI) -> None:
    """One form for all: {"detail": one line}."""

    def told(status: int, line: str, **headers: str) -> JSONResponse:
        return JSONResponse(Problem(detail=line).model_dump(), status, headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return told(422, f"{field or first['loc'][0]}: {first['msg']}")

    @app.exception_handler(ConfigError)
    async def not_of_this_generator(request: Request, error: ConfigError) -> JSONResponse:
        return told(400, str(error).removeprefix("--"))  # options of the command line are fields here

    @app.exception_handler(GanError)
    async def broken(request: Request, error: GanError) -> JSONResponse:
        return told(500, str(error))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return told(503, "as many requests wait as may; ask again later", **{"Retry-After": "1"})

    @app.exception_handler(TimeoutError)
    async def late(request: Request, error: TimeoutError) -> JSONResponse:
        return told(504, "the images were not made in time; ask for fewer, or later")
