"""Every CloudFormation type of our own services, registered with ministack."""

from local.autoscaling import cloudformation as autoscaling_types
from local.ministack.cloudformation import Service, add_types, run_on_worker_threads
from local.sagemaker import cloudformation as sagemaker_types


def register(sagemaker: Service, scaling: Service) -> None:
    """Add the types to ministack's CloudFormation."""
    types = sagemaker_types.types(sagemaker) | autoscaling_types.types(scaling)
    add_types(types)
    run_on_worker_threads({*types, "AWS::Lambda::Alias"})
