"""The instance types that an endpoint can run on and scale."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

_INSTANCE_TYPE = re.compile(r"ml\.(?P<family>[a-z]+)(?P<generation>\d+)(?P<options>[a-z-]*)\.(?P<size>[a-z0-9]+)")

_SIZES = {
    "c4": "large xlarge 2xlarge 4xlarge 8xlarge",
    "m4": "xlarge 2xlarge 4xlarge 10xlarge 16xlarge",
    "c5 c5d": "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge",
    "m5 m5d r5 r5d": "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge",
    "c6i c6in m6i r6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge",
    "c6g c6gd c6gn c7g m6g m6gd r6g r6gd": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "c7i m7i r7i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
    "r7gd": "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "c8g m8g r8g": "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge",
}

CPU_INSTANCES = {
    f"ml.{series}.{size}" for many, sizes in _SIZES.items() for series in many.split() for size in sizes.split()
}
"""The CPU instances of SageMaker hosting without the burstable ones (API reference, ProductionVariant)."""


def _can_scale_and_serve(value: str) -> str:
    match = _INSTANCE_TYPE.fullmatch(value)
    if not match:
        raise ValueError('use a SageMaker instance type such as "ml.c7i.large"')
    if match["family"] == "t":
        # The SageMaker guide says so.
        raise ValueError("burstable instances cannot autoscale: use an instance type such as ml.c7i.large")
    if match["family"] not in ("c", "m", "r"):
        # A GPU would need InferenceAmiVersion, and would then be paid for without being used.
        raise ValueError("the artifact's ONNX Runtime has no GPU support: use a CPU instance such as ml.c7i.large")
    if value not in CPU_INSTANCES:
        series = f"{match['family']}{match['generation']}{match['options']}"
        sizes = [name for name in sorted(CPU_INSTANCES) if name.split(".")[1] == series]
        known = f"one of {', '.join(sizes)}" if sizes else "another, such as ml.c7i.large"
        raise ValueError(f"SageMaker hosting has no such instance type: use {known}")
    return value


InstanceType = Annotated[str, AfterValidator(_can_scale_and_serve), Field(max_length=32)]

MOST_INSTANCES = 10_000
"""Far above any quota: what is more is a slip, and no number that CloudFormation reads."""


def has_local_storage(instance_type: str) -> bool:
    """Tell whether an instance brings disks of its own: CPU generations with them carry a ``d`` after the number."""
    match = _INSTANCE_TYPE.fullmatch(instance_type)
    return bool(match and "d" in match["options"])


def architecture_of(instance_type: str) -> Literal["arm64", "x86_64"]:
    """Return the processor of an instance type: Graviton generations carry a ``g`` after the number."""
    match = _INSTANCE_TYPE.fullmatch(instance_type)
    return "arm64" if match and match["options"].startswith("g") else "x86_64"
