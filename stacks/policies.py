"""Every IAM statement of the stacks, written by hand: one function each, with what needs it and the source.

Where a statement names a resource by ``*``, its docstring says why no narrower resource exists.
"""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.names import alarm_arns, alarm_topic_arn

METRICS_NAMESPACE = "/aws/sagemaker/Endpoints"
"""Namespace of the instance metrics that a SageMaker host publishes with the model's role."""

TRAINING_JOBS_NAMESPACE = "/aws/sagemaker/TrainingJobs"
"""Namespace of a training job's metrics, and the name of the log group of all jobs."""


def sagemaker_principal(scope: Construct) -> iam.ServicePrincipal:
    """Let SageMaker assume a role, for this account's and region's resources only.

    The wildcard after the account is AWS's own: SageMaker says not to name a model or an endpoint here
    (SageMaker guide, "Cross-service confused deputy prevention").
    """
    stack = Stack.of(scope)
    source = stack.format_arn(service="sagemaker", resource="*", arn_format=ArnFormat.NO_RESOURCE_NAME)
    return iam.ServicePrincipal(
        "sagemaker.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": source},
        },
    )


def read_artifact(object_arn: str) -> iam.PolicyStatement:
    """Download one artifact: SageMaker reads ``ModelDataUrl`` with the model's execution role.

    Source: SageMaker guide, "SageMaker AI roles", CreateModel API.
    """
    return iam.PolicyStatement(sid="ReadArtifact", actions=["s3:GetObject"], resources=[object_arn])


def log_in_to_ecr() -> iam.PolicyStatement:
    """Get a registry token; the action supports no resource (Service Authorization Reference, Amazon ECR)."""
    return iam.PolicyStatement(sid="LogInToEcr", actions=["ecr:GetAuthorizationToken"], resources=["*"])


def pull_image(repository_arn: str) -> iam.PolicyStatement:
    """Pull the container of one repository (SageMaker guide, "SageMaker AI roles", CreateModel API)."""
    return iam.PolicyStatement(
        sid="PullImage",
        actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        resources=[repository_arn],
    )


def write_endpoint_logs(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Write the container's output to the endpoint's own log group, which SageMaker creates.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    group = _log_group_arn(scope, f"/aws/sagemaker/Endpoints/{endpoint_name}")
    return iam.PolicyStatement(
        sid="WriteEndpointLogs",
        actions=[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ],
        resources=[group, f"{group}:*"],
    )


def publish_instance_metrics() -> iam.PolicyStatement:
    """Publish the host's CPU, memory and disk use; only the namespace can narrow the action.

    Source: Service Authorization Reference, Amazon CloudWatch (``cloudwatch:namespace``).
    """
    return iam.PolicyStatement(
        sid="PublishInstanceMetrics",
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}},
    )


def invoke_endpoint(scope: Construct, endpoint_name: str) -> iam.PolicyStatement:
    """Ask one endpoint for a prediction (SageMaker Runtime API reference, InvokeEndpoint)."""
    arn = Stack.of(scope).format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint_name)
    return iam.PolicyStatement(sid="InvokeEndpoint", actions=["sagemaker:InvokeEndpoint"], resources=[arn])


def write_function_logs(scope: Construct, log_group_name: str) -> iam.PolicyStatement:
    """Write to the function's own log group, which the stack creates (Lambda guide, "Execution role")."""
    return iam.PolicyStatement(
        sid="WriteFunctionLogs",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"{_log_group_arn(scope, log_group_name)}:*"],
    )


def _log_group_arn(scope: Construct, name: str) -> str:
    return Stack.of(scope).format_arn(
        service="logs", resource="log-group", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def send_failures(queue_arn: str) -> iam.PolicyStatement:
    """Put failed asynchronous invocations in one queue, which Lambda does with the function's role.

    Source: Lambda guide, "Retaining records of asynchronous invocations".
    """
    return iam.PolicyStatement(sid="SendFailures", actions=["sqs:SendMessage"], resources=[queue_arn])


def use_queue_key(scope: Construct, key_arn: str) -> iam.PolicyStatement:
    """Use a customer-managed key for messages of a queue, through Amazon SQS only: what a sender needs.

    Source: SQS guide, "Key management", "Configure AWS KMS permissions"; KMS guide, ``kms:ViaService``.
    """
    stack = Stack.of(scope)
    return iam.PolicyStatement(
        sid="UseQueueKey",
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=[key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"sqs.{stack.region}.{stack.url_suffix}"}},
    )


def send_traces() -> iam.PolicyStatement:
    """Send the function's traces; neither action supports a resource or has a condition key that could narrow it.

    Source: Lambda guide, "Visualize Lambda function invocations using AWS X-Ray"; Service Authorization Reference,
    AWS X-Ray.
    """
    return iam.PolicyStatement(
        sid="SendTraces", actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"], resources=["*"]
    )


def tell_of_alarms(scope: Construct, environment: str) -> iam.PolicyStatement:
    """Let CloudWatch publish to the alarm topic, for this environment's alarms only.

    Source: CloudWatch guide, "Notifying users on alarm changes" (topic policy with ``aws:SourceArn``).
    """
    return iam.PolicyStatement(
        sid="TellOfAlarms",
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[alarm_topic_arn(scope, environment)],
        conditions={
            "StringEquals": {"aws:SourceAccount": Stack.of(scope).account},
            "ArnLike": {"aws:SourceArn": alarm_arns(scope, environment)},
        },
    )


def tell_of_budget(scope: Construct, environment: str) -> iam.PolicyStatement:
    """Let this account's budgets publish to the alarm topic; AWS names no single budget in its example.

    Source: Cost Management guide, "Creating an Amazon SNS topic for budget notifications".
    """
    stack = Stack.of(scope)
    budgets = stack.format_arn(service="budgets", region="", resource="*", arn_format=ArnFormat.NO_RESOURCE_NAME)
    return iam.PolicyStatement(
        sid="TellOfBudget",
        principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
        actions=["sns:Publish"],
        resources=[alarm_topic_arn(scope, environment)],
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": budgets},
        },
    )


def write_capture(bucket_arn: str) -> iam.PolicyStatement:
    """Keep captured requests: SageMaker puts them there with the model's role.

    Source: SageMaker guide, "Capture data from real-time endpoint".
    """
    return iam.PolicyStatement(sid="WriteCapture", actions=["s3:PutObject"], resources=[f"{bucket_arn}/capture/*"])


def read_alarms(alarm_arns: list[str]) -> iam.PolicyStatement:
    """Look at the alarms that take an update back; SageMaker does so with the execution role.

    Source: SageMaker guide, "Auto-Rollback Configuration and Monitoring".
    """
    return iam.PolicyStatement(sid="ReadAlarms", actions=["cloudwatch:DescribeAlarms"], resources=alarm_arns)


def use_key(scope: Construct, key_arn: str, *, write: bool) -> iam.PolicyStatement:
    """Use a customer-managed key for objects of the bucket, through Amazon S3 only.

    Readers decrypt; writers also make data keys, and decrypt to complete a multipart upload. Who needs it: each
    role that touches the bucket where ``storage.kms_key_arn`` is set. The hosting role needs it only for an artifact
    at an ``s3://`` location in that bucket: an artifact that the CDK uploads lies in the bootstrap's asset bucket,
    under the bootstrap's own encryption.

    Source: S3 guide, "Using server-side encryption with AWS KMS keys"; KMS guide, ``kms:ViaService``.
    """
    stack = Stack.of(scope)
    return iam.PolicyStatement(
        sid="UseKey",
        actions=["kms:Decrypt", "kms:GenerateDataKey"] if write else ["kms:Decrypt"],
        resources=[key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"s3.{stack.region}.{stack.url_suffix}"}},
    )


def list_prefixes(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """List objects under some prefixes: SageMaker and ``aws s3 sync`` list before they read.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; S3 guide, ``s3:prefix``.
    """
    return iam.PolicyStatement(
        sid="ListPrefixes",
        actions=["s3:ListBucket"],
        resources=[bucket_arn],
        conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
    )


def read_objects(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """Read objects under some prefixes (SageMaker guide, "SageMaker AI roles", CreateTrainingJob API)."""
    return iam.PolicyStatement(
        sid="ReadObjects",
        actions=["s3:GetObject"],
        resources=[f"{bucket_arn}/{prefix}*" for prefix in prefixes],
    )


def write_objects(bucket_arn: str, prefixes: Sequence[str]) -> iam.PolicyStatement:
    """Write objects under some prefixes, and give up what was half uploaded.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; S3 guide, "Multipart upload API and
    permissions".
    """
    return iam.PolicyStatement(
        sid="WriteObjects",
        actions=["s3:AbortMultipartUpload", "s3:PutObject"],
        resources=[f"{bucket_arn}/{prefix}*" for prefix in prefixes],
    )


def delete_checkpoints(bucket_arn: str, prefix: str) -> iam.PolicyStatement:
    """Remove old checkpoints: SageMaker deletes in S3 what a job deletes in ``/opt/ml/checkpoints``.

    Source: SageMaker guide, "Checkpoints in Amazon SageMaker AI".
    """
    return iam.PolicyStatement(
        sid="DeleteCheckpoints", actions=["s3:DeleteObject"], resources=[f"{bucket_arn}/{prefix}*"]
    )


def write_training_job_logs(scope: Construct) -> iam.PolicyStatement:
    """Write a job's output to the group that SageMaker creates, one for all jobs of the account.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    return _write_sagemaker_logs(scope, "WriteTrainingJobLogs", TRAINING_JOBS_NAMESPACE)


def publish_training_metrics() -> iam.PolicyStatement:
    """Publish a job's metrics and its hosts' CPU, memory and disk use; only the namespace can narrow the action.

    Source: Service Authorization Reference, Amazon CloudWatch (``cloudwatch:namespace``).
    """
    return iam.PolicyStatement(
        sid="PublishTrainingMetrics",
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": TRAINING_JOBS_NAMESPACE}},
    )


def describe_network() -> iam.PolicyStatement:
    """Look at the VPC that a job is to join; the actions support no resource.

    Source: SageMaker guide, "SageMaker AI roles", CreateTrainingJob API; Service Authorization Reference, Amazon EC2.
    """
    return iam.PolicyStatement(
        sid="DescribeNetwork",
        actions=[
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ],
        resources=["*"],
    )


def create_network_interfaces(
    scope: Construct, subnet_ids: Sequence[str], security_group_ids: Sequence[str]
) -> iam.PolicyStatement:
    """Join a job to the VPC of the settings: in these subnets, with these security groups.

    An interface has no name before it exists, hence ``network-interface/*``. Source: Service Authorization
    Reference, Amazon EC2, CreateNetworkInterface.
    """
    resources = ["network-interface/*"]
    resources += [f"subnet/{name}" for name in subnet_ids]
    resources += [f"security-group/{name}" for name in security_group_ids]
    return iam.PolicyStatement(
        sid="CreateNetworkInterfaces",
        actions=["ec2:CreateNetworkInterface"],
        resources=[_ec2_arn(scope, resource) for resource in resources],
    )


def manage_network_interfaces(scope: Construct, subnet_ids: Sequence[str]) -> iam.PolicyStatement:
    """Let SageMaker's hosts attach the interfaces in these subnets, and remove them after the job.

    Source: SageMaker guide, "SageMaker AI roles"; Service Authorization Reference, Amazon EC2 (``ec2:Subnet``).
    """
    return iam.PolicyStatement(
        sid="ManageNetworkInterfaces",
        actions=["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"],
        resources=[_ec2_arn(scope, "network-interface/*")],
        conditions={"ArnEquals": {"ec2:Subnet": [_ec2_arn(scope, f"subnet/{name}") for name in subnet_ids]}},
    )


def remove_network_interface_permissions(scope: Construct) -> iam.PolicyStatement:
    """Take back what a host was allowed; the action supports no resource, so the region narrows it.

    Source: SageMaker guide, "SageMaker AI roles"; Service Authorization Reference, Amazon EC2 (``ec2:Region``).
    """
    return iam.PolicyStatement(
        sid="RemoveNetworkInterfacePermissions",
        actions=["ec2:DeleteNetworkInterfacePermission"],
        resources=["*"],
        conditions={"StringEquals": {"ec2:Region": Stack.of(scope).region}},
    )


def register_instance(scope: Construct) -> iam.PolicyStatement:
    """Tell Systems Manager that an instance is there, so that Session Manager can reach it.

    The instance's id is unknown when the role is made. Source: Systems Manager guide, "Add Session Manager
    permissions"; Service Authorization Reference, AWS Systems Manager, UpdateInstanceInformation.
    """
    return iam.PolicyStatement(
        sid="RegisterInstance",
        actions=["ssm:UpdateInstanceInformation"],
        resources=[_ec2_arn(scope, "instance/*")],
    )


def open_session_channels() -> iam.PolicyStatement:
    """Carry a Session Manager session, from the inside out; the actions support no resource.

    Less than ``AmazonSSMManagedInstanceCore``, which also reads every parameter of the account. Source: Systems
    Manager guide, "Create a custom IAM role for Session Manager".
    """
    return iam.PolicyStatement(
        sid="OpenSessionChannels",
        actions=[
            "ssmmessages:CreateControlChannel",
            "ssmmessages:CreateDataChannel",
            "ssmmessages:OpenControlChannel",
            "ssmmessages:OpenDataChannel",
        ],
        resources=["*"],
    )


def write_instance_logs(scope: Construct, log_group_name: str) -> iam.PolicyStatement:
    """Write to the training instances' own log group, which the stack creates (CloudWatch Logs permissions)."""
    return iam.PolicyStatement(
        sid="WriteInstanceLogs",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[f"{_log_group_arn(scope, log_group_name)}:*"],
    )


def write_notebook_logs(scope: Construct) -> iam.PolicyStatement:
    """Write the notebook's Jupyter and lifecycle logs to the group that SageMaker creates.

    Source: SageMaker guide, "Log groups and streams that Amazon SageMaker AI sends to CloudWatch Logs".
    """
    return _write_sagemaker_logs(scope, "WriteNotebookLogs", "/aws/sagemaker/NotebookInstances")


def stop_notebook(scope: Construct, name: str) -> iam.PolicyStatement:
    """Let the notebook stop itself when idle, and nothing else (SageMaker API reference, StopNotebookInstance)."""
    arn = Stack.of(scope).format_arn(service="sagemaker", resource="notebook-instance", resource_name=name)
    return iam.PolicyStatement(sid="StopItself", actions=["sagemaker:StopNotebookInstance"], resources=[arn])


def _write_sagemaker_logs(scope: Construct, sid: str, log_group_name: str) -> iam.PolicyStatement:
    group = _log_group_arn(scope, log_group_name)
    return iam.PolicyStatement(
        sid=sid,
        actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        resources=[group, f"{group}:*"],
    )


def _ec2_arn(scope: Construct, resource: str) -> str:
    return Stack.of(scope).format_arn(service="ec2", resource=resource, arn_format=ArnFormat.NO_RESOURCE_NAME)
