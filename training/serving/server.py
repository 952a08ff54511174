"""Serve an artifact over HTTP, as SageMaker asks of a container.

    python code/server.py         from an unpacked artifact
    python -m serving.server      in Kennel's own image

``GET /ping`` is 200 once the model has answered a generated photo (before that, nothing listens), and
``POST /invocations`` takes a photo. On SIGTERM it finishes the requests that it has and exits with 0; a model that
cannot serve ends it with 1 and one line on stderr.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html

==========================  ===================================================================================
Environment variable        Meaning
==========================  ===================================================================================
``SM_MODEL_DIR``            The unpacked artifact. If unset: the current folder if it is one, or /opt/ml/model.
``SAGEMAKER_BIND_TO_PORT``  Port; 8080 if unset.
``BIND_HOST``               Address; 0.0.0.0 if unset.
``MODEL_ARTIFACT_SHA256``   Goes into every answer.
``INFERENCE_WORKERS``       Photos worked on at once, while others wait; one for each core if unset.
``INFERENCE_THREADS``       Threads of onnxruntime; one for each core if unset.
==========================  ===================================================================================
"""

import asyncio
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from .cores import cores
from .inference import Model, Reply, log_warnings, model_fn, problem, respond, whole_number
from .photo_file import MAX_BODY_BYTES
from .serving_errors import ArtifactError, SettingError

DRAIN_SECONDS = 60
"""A request may take InvokeEndpoint's 60 seconds; SageMaker kills the container 120 seconds after SIGTERM."""

log = logging.getLogger("server")


class Invocations:
    """Answers requests with a photo, without holding up the event loop; what both servers do with a request."""

    def __init__(self, model: Model) -> None:
        log_warnings()
        self.model = model
        self.pool = ThreadPoolExecutor(whole_number("INFERENCE_WORKERS", cores()))

    async def __call__(self, request: Request) -> Response:
        """Read the body, up to the limit of what is worth keeping, and answer it."""
        body = bytearray()
        try:
            async for chunk in request.stream():
                if len(body) <= MAX_BODY_BYTES:  # the rest is read all the same: who is still sending hears nothing
                    body += chunk
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        loop = asyncio.get_running_loop()
        return to_response(await loop.run_in_executor(self.pool, respond, self.model, bytes(body), request.headers))


def to_response(reply: Reply) -> Response:
    """Turn a reply into Starlette's own."""
    return Response(reply.body, reply.status, media_type=reply.content_type)


def application(model: Model) -> Starlette:
    """Return the ASGI application that serves ``model``."""
    invocations = Invocations(model)

    async def answer(request: Request) -> Response:
        return await invocations(request)

    async def ping(_: Request) -> Response:
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
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
