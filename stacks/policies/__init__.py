"""Every IAM statement of the stacks, written by hand: one function each, with what needs it and the source.

Where a statement has a wildcard, its docstring says after ``Wildcard:`` why nothing narrower exists. docs/security.md
and the acceptance of cdk-nag's findings are generated from it.
"""

from stacks.policies.bucket import delete_checkpoints, list_prefixes, read_objects, use_key, write_objects
from stacks.policies.function import (
    invoke_endpoint,
    send_failures,
    send_traces,
    use_queue_key,
    write_function_logs,
)
from stacks.policies.hosting import (
    encrypt_endpoint_logs,
    keep_endpoint_logs,
    log_in_to_ecr,
    publish_instance_metrics,
    pull_image,
    read_alarms,
    read_artifact,
    write_capture,
    write_endpoint_logs,
)
from stacks.policies.network import create_network_interfaces, describe_network, manage_network_interfaces
from stacks.policies.notebook import stop_notebook, write_notebook_logs
from stacks.policies.notifications import tell_of_alarms, tell_of_budget, tell_of_state
from stacks.policies.training_instance import open_session_channels, register_instance, write_instance_logs
from stacks.policies.training_job import encrypt_job_output, publish_training_metrics, write_training_job_logs
from stacks.policies.trust import sagemaker_principal, scheduler_principal

__all__ = [
    "create_network_interfaces",
    "delete_checkpoints",
    "describe_network",
    "encrypt_endpoint_logs",
    "encrypt_job_output",
    "invoke_endpoint",
    "keep_endpoint_logs",
    "list_prefixes",
    "log_in_to_ecr",
    "manage_network_interfaces",
    "open_session_channels",
    "publish_instance_metrics",
    "publish_training_metrics",
    "pull_image",
    "read_alarms",
    "read_artifact",
    "read_objects",
    "register_instance",
    "sagemaker_principal",
    "scheduler_principal",
    "send_failures",
    "send_traces",
    "stop_notebook",
    "tell_of_alarms",
    "tell_of_budget",
    "tell_of_state",
    "use_key",
    "use_queue_key",
    "write_capture",
    "write_endpoint_logs",
    "write_function_logs",
    "write_instance_logs",
    "write_notebook_logs",
    "write_objects",
    "write_training_job_logs",
]
