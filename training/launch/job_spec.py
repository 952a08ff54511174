"""What is to be trained: everything that a job's request is made of."""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.launch import places
from training.launch.site import Site
from training.tuning.space import Space

IMAGE_TAGS = {"cpu": "2.13-cpu-amzn2023-sagemaker", "gpu": "2.13-cu133-amzn2023-sagemaker"}
"""AWS's PyTorch 2.13 training container, supported to 2027-07-20 (docs/src/data/pytorch/2.13-*-sagemaker.yml in
github.com/aws/deep-learning-containers): the PyTorch and torchvision of ``training/requirements.txt``."""

GPU = re.compile(r"(ml\.)?(g|p)\d")
"""Families of instances with NVIDIA's GPUs."""

SAGEMAKER_TYPE, MAX_NAME = "ml.g4dn.xlarge", 32
"""The smallest instance with a GPU; the longest name of a tuning job."""


@dataclass(frozen=True)
class JobSpec:
    """One training job, tuning job or instance.

    Parameters
    ----------
    name
        Of the job; also of its folder under ``training/runs/`` and ``training/checkpoints/``.
    photos, code
        Addresses in S3.
    options
        Of ``fit``, those that are not its own defaults.
    instance_type
        None takes SageMaker's default here, or the launch template's type.
    hours
        After which training is ended, whatever it has reached.
    wait_hours
        Of a spot job: how long it may take with all interruptions.
    disk_gb
        Of each of SageMaker's instances.
    space, trials, parallel
        Of a tuning job.
    weights
        Address of the weights to begin with, where they are a file.
    resume
        Name of the run whose checkpoints this one goes on from, and keeps.
    """

    name: str
    site: Site
    photos: str
    code: str
    options: Mapping[str, str] = field(default_factory=dict)
    instance_type: str | None = None
    instances: int = 1
    spot: bool = False
    hours: float = 12.0
    wait_hours: float = 24.0
    disk_gb: int = 50
    space: Space = field(default_factory=dict)
    trials: int = 0
    parallel: int = 2
    weights: str | None = None
    resume: str | None = None

    @property
    def checkpoints(self) -> str:
        """The prefix of its checkpoints, in the bucket."""
        return f"{places.CHECKPOINTS}{self.resume or self.name}/"


def new_name(environment: str) -> str:
    """Return a name that no other run has: when, and four random digits."""
    moment = time.strftime("%y%m%d-%H%M%S", time.gmtime())
    tail = f"-{moment}-{secrets.token_hex(2)}"
    return f"kennel-{environment}"[: MAX_NAME - len(tail)].rstrip("-") + tail
