"""Serve an artifact over HTTP, as SageMaker asks of a container.

    python code/server.py         from an unpacked artifact
    python -m serving.server      in Kennel's own image

``GET /ping`` is 200 once the model has answered a generated photo (before that, nothing listens), and 503 while every
worker has been with its photo for more than a minute. ``POST /invocations`` takes a photo. On SIGTERM it finishes the
requests that it has and exits with 0; a model that cannot serve ends it with 1 and one line on stderr.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

==========================  ===================================================================================
Environment variable        Meaning
==========================  ===================================================================================
``SM_MODEL_DIR``            The unpacked artifact. If unset: the current folder if it is one, or /opt/ml/model.
``SAGEMAKER_BIND_TO_PORT``  Port; 8080 if unset.
``BIND_HOST``               Address; 0.0.0.0 if unset.
``MODEL_ARTIFACT_SHA256``   Goes into every answer.
``INFERENCE_WORKERS``       Photos worked on at once, while others wait; one for each core if unset.
``INFERENCE_QUEUE``         Photos that may wait; 64 if unset. The next one is answered with 503 and ``Retry-After``.
``INFERENCE_DEADLINE_MS``   Milliseconds after which a photo that still waits is answered with 503; 60000 if unset.
                            A caller who waits for less says so: ``deadline_ms`` in ``inference.Attributes``.
``INFERENCE_THREADS``       Threads of onnxruntime; one for each core if unset.
==========================  ===================================================================================
"""

import asyncio
import logging
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from .connection import Connection
from .cores import cores
from .inference import Attributes, Model, Reply, log_warnings, model_fn, problem, respond, whole_number
from .photo_file import MAX_BODY_BYTES, PhotoFile
from .serving_errors import ArtifactError, RequestError, SettingError
from .waiting import REQUEST_SECONDS, Held, Line, Turn, overloaded

DRAIN_SECONDS = 60
"""A request may take InvokeEndpoint's 60 seconds; SageMaker kills the container 120 seconds after SIGTERM."""

BODY_SECONDS = 20.0
"""For a body of 25 MB to arrive, which takes SageMaker far less than a second."""

HEADERS = {408: {"Connection": "close"}, 503: {"Retry-After": "1"}}
"""By status. The rest of a late body is not waited for; a line of photos is worked off within seconds."""

log = logging.getLogger("server")


class Invocations:
    """Answers requests with a photo, without holding up the event loop; what both servers do with a request."""

    def __init__(self, model: Model) -> None:
        log_warnings()
        self.model = model
        workers = whole_number("INFERENCE_WORKERS", cores())
        self.pool = ThreadPoolExecutor(workers)
        self.line = Line(workers, whole_number("INFERENCE_QUEUE", 64))
        self.seconds = whole_number("INFERENCE_DEADLINE_MS", REQUEST_SECONDS * 1000) / 1000

    async def __call__(self, request: Request) -> Response:
        """Answer a request, whatever it holds."""
        try:
            return to_response(await self._answer(request))
        except RequestError as error:
            return to_response(problem(error.status, error.title, error.detail))
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Exception:  # a fault of ours: the log has it, the caller must not
            log.exception("a request failed")
            return to_response(problem(500))

    async def _answer(self, request: Request) -> Reply:
        arrived = time.monotonic()
        with self.line.hold() as held:
            body = await self._body(request, held)
            deadline = arrived + min(self.seconds, Attributes.of(request.headers).seconds)
            file = PhotoFile.parse(body)
            del body  # what follows the photo is not kept while the photo waits
            held.set(len(file.data))
            turn = self.line.join(file.memory)
            try:
                await _until(turn, request, deadline)
                future = self.pool.submit(respond, self.model, file, request.headers)
            except BaseException:
                self.line.leave(turn)
                raise
            # A worker cannot be interrupted: it is free when it has finished, also if nobody waits for the answer.
            loop = asyncio.get_running_loop()
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(self.line.leave, turn))
            return await asyncio.wrap_future(future)

    async def _body(self, request: Request, held: Held) -> bytes:
        """Read the body, and keep what is worth keeping; the rest is read too: who is still sending hears nothing."""
        refused: RequestError | None = None
        chunks: list[bytes] = []
        size = 0
        try:
            self.line.check()
        except RequestError as error:
            refused = error
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    if refused or size > MAX_BODY_BYTES:
                        continue
                    chunks.append(chunk)
                    size += len(chunk)
                    try:
                        held.set(size)
                    except RequestError as error:
                        refused = error
                        chunks.clear()
        except TimeoutError as error:
            raise RequestError(408, "Request timeout", "The body did not arrive in time; send it again.") from error
        if refused:
            raise refused
        return b"".join(chunks)


async def _until(turn: Turn, request: Request, deadline: float) -> None:
    """Wait for a photo's turn.

    Raises
    ------
    RequestError
        503 if the deadline passes first.
    ClientDisconnect
        If the client leaves first.
    """
    comes, leaves = asyncio.ensure_future(turn.comes.wait()), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((comes, leaves), timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
        if leaves.done():
            raise ClientDisconnect
        if not comes.done() or time.monotonic() > deadline:
            raise overloaded("The photo's turn did not come before the deadline")
    finally:
        comes.cancel()
        leaves.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def to_response(reply: Reply) -> Response:
    """Turn a reply into Starlette's own."""
    return Response(reply.body, reply.status, HEADERS.get(reply.status), media_type=reply.content_type)


def application(model: Model) -> Starlette:
    """Return the ASGI application that serves ``model``."""
    invocations = Invocations(model)

    async def answer(request: Request) -> Response:
        return await invocations(request)

    async def ping(_: Request) -> Response:
        if invocations.line.is_stuck():
            return to_response(problem(503, "Stuck", f"No worker has answered for {REQUEST_SECONDS} seconds."))
        return Response()

    async def http_problem(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            response = to_response(problem(error.status_code))
            response.headers.update(error.headers or {})
            return response
        return to_response(problem(500))

    app = Starlette(
        routes=[Route("/ping", ping), Route("/invocations", answer, methods=["POST"])],
        exception_handlers={HTTPException: http_problem, Exception: http_problem},
    )
    app.router.redirect_slashes = False
    return app


def model_dir() -> Path:
    """Return the folder of the unpacked artifact."""
    if named := os.environ.get("SM_MODEL_DIR"):
        return Path(named)
    here = Path.cwd()
    return here if (here / "model.onnx").exists() else Path("/opt/ml/model")


def main() -> None:
    """Load the model and serve until SIGTERM."""
    if sys.argv[1:] not in ([], ["serve"]):  # SageMaker starts a container with the argument serve
        sys.exit("usage: python server.py [serve]")
    # uvicorn drains on SIGTERM and then raises it again; as process 1 of a container there is no default either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        model = model_fn(model_dir())
        app = application(model)
        port = whole_number("SAGEMAKER_BIND_TO_PORT", 8080)
    except (ArtifactError, SettingError) as error:
        sys.exit(f"the model cannot serve: {error}")
    host = os.environ.get("BIND_HOST") or "0.0.0.0"  # noqa: S104 SageMaker asks for it
    log.info("serving %d classes on %s:%d", len(model.card.labels), host, port)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=Connection,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
