"""The same answers in AWS's Ray Serve container, ``ray:serve-ml-sagemaker-cpu-v1``.

The container's ``/ping`` asks Ray whether a route exists, which is so while a replica is still loading, and for ever
after it failed to. The route appears once this module is imported: therefore the model proves itself right here, and
a broken one never becomes healthy (``scripts/docker/ray`` in https://github.com/aws/deep-learning-containers).
"""

from pathlib import Path

from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from .inference import model_fn
from .server import Invocations
from .waiting import REQUEST_SECONDS

ARTIFACT = Path(__file__).parents[2]
"""The package lies in ``code/serving``."""

Invocations(model_fn(ARTIFACT))  # the proof: a model cannot travel to the process of a replica, which loads its own


class Classifier:
    """One replica: a process with the model."""

    def __init__(self) -> None:
        self.invocations = Invocations(model_fn(ARTIFACT))

    async def __call__(self, request: Request) -> Response:
        """Answer what the container's adapter passes on from ``POST /invocations``."""
        return await self.invocations(request)

    def check_health(self) -> None:
        """Let Ray replace the replica when every worker is stuck.

        Raises
        ------
        RuntimeError
            It is.
        """
        if self.invocations.line.is_stuck():
            raise RuntimeError(f"no worker has answered for {REQUEST_SECONDS} seconds")


app = serve.deployment(Classifier).bind()
