"""What each role may do and what is tried with it, as AWS API calls, and who gives a test the role's keys.

A try that one role may make is the proof for the others that it is their policy which refuses it; for what nobody
may do, an administrator makes the try too.

Not tried, because the embedded AWS (or the SDK) lacks the calls: X-Ray, the messages of Session Manager,
``ssm:UpdateInstanceInformation``, network interfaces of a VPC, and keys, of which dev and prod have none.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.embedded import Aws
from tests.end_to_end.environment import Environment

ROLES = {
    "hosting": ("Endpoint", "AllTrafficHostingRole"),
    "log retention": ("Endpoint", "LogRetentionRole"),
    "function": ("Api", "Role"),
    "jobs": ("Training", "JobRole"),
    "instances": ("Training", "InstanceRole"),
    "notebook": ("Training", "NotebookRole"),
}
"""Each role's stack, and how its logical ID begins."""

REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
"""The error codes of S3 and STS, of JSON services, of SNS, of EC2."""

FOLDERS = ("data", "models", "training", "training/checkpoints", "capture", "elsewhere")
OTHER = "kennel-somebody-else"


@dataclass(frozen=True)
class Try:
    """One call of an API.

    Attributes
    ----------
    errors
        Codes that a caller gets who is let in, where the thing asked for is not there.
    administrator
        Whether an administrator makes the call too: not where it would end what later tests need.
    """

    service: str
    operation: str
    arguments: dict[str, Any]
    errors: tuple[str, ...] = ()
    administrator: bool = True


@dataclass
class Caller:
    """Keys of somebody, and clients with them."""

    aws: Aws
    access_key: str
    secret_key: str
    token: str | None = None
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self.aws.make(service, self.access_key, self.secret_key, self.token)
        return self.clients[service]

    def is_let_in(self, attempt: Try) -> bool:
        """Make a call and return whether it was authorised; an error of another kind is raised."""
        try:
            getattr(self.client(attempt.service), attempt.operation)(**attempt.arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in REFUSALS:
                return False
            if code not in attempt.errors:
                raise
        return True


def roles_of(environment: Environment) -> dict[str, str]:
    """Return the names of the environment's roles; a role that `ROLES` lacks is called by its logical ID."""
    found = {}
    for noun in ("Storage", "Training", "Endpoint", "Api", "Monitoring"):
        listed = environment.aws.cloudformation.list_stack_resources(StackName=environment.aws.stack(noun))
        for resource in listed["StackResourceSummaries"]:
            if resource["ResourceType"] == "AWS::IAM::Role":
                logical = resource["LogicalResourceId"]
                kinds = [kind for kind, (stack, start) in ROLES.items() if stack == noun and logical[:-8] == start]
                found[kinds[0] if kinds else logical] = str(resource["PhysicalResourceId"])
    return found


def trust_of(aws: Aws, role: str) -> dict[str, Any]:
    """Return who may assume a role."""
    return dict(aws.iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"])


def set_trust(aws: Aws, role: str, trust: dict[str, Any]) -> None:
    aws.iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))


def assumed(environment: Environment, role: str, user: Caller) -> Caller:
    """Return a session of a role that trusts a service only: for a moment it trusts the user too."""
    aws = environment.aws
    arn, trust = aws.iam.get_role(RoleName=role)["Role"]["Arn"], trust_of(aws, role)
    principal = {"AWS": user.client("sts").get_caller_identity()["Arn"]}
    entry = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    set_trust(aws, role, {**trust, "Statement": [*trust["Statement"], entry]})
    try:
        keys = user.client("sts").assume_role(RoleArn=arn, RoleSessionName="tried")["Credentials"]
    finally:
        set_trust(aws, role, trust)
    return Caller(aws, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def allowed(environment: Environment) -> dict[str, set[str]]:
    """Return the names of the tries that each role may make, and no other."""
    name, capture = environment.aws.name, environment.settings["endpoint"]["capture_percentage"] > 0
    reads = {f"{action} {folder}" for action in ("Get", "List") for folder in FOLDERS if folder in _TRAINED_ON}
    writes = {"Put training", "Put training/checkpoints"}
    trains = reads | writes | {"Put models", "Delete training/checkpoints"}
    return {
        "hosting": {
            "Get the artifact",
            *_logs(f"/aws/sagemaker/Endpoints/{name}", creates=True),
            "Publish metrics of /aws/sagemaker/Endpoints",
            "Look at a guardrail",
            "Log in to ECR",
            "Pull ray",
            *({"Put capture"} if capture else ()),
        },
        "log retention": set(),  # of one group that is none of the tries
        "function": {"Invoke the endpoint", "Report a failure", *_logs(f"/aws/lambda/{name}", creates=False)},
        "jobs": {
            *trains,
            *_logs("/aws/sagemaker/TrainingJobs", creates=True),
            "Publish metrics of /aws/sagemaker/TrainingJobs",
            "Log in to ECR",
            "Pull pytorch",
        },
        "instances": {*trains, *_logs(f"/kennel/{environment.aws.settings}/training", creates=False)},
        "notebook": {
            *reads,
            *writes,
            *_logs("/aws/sagemaker/NotebookInstances", creates=True),
            "Stop the workbench",
        },
    }


_TRAINED_ON = ("data", "training", "training/checkpoints")


def _logs(group: str, *, creates: bool) -> set[str]:
    verbs = ("Create", "Create a stream of", "Look at", "Write to") if creates else ("Create a stream of", "Write to")
    return {f"{verb} {group}" for verb in verbs}


def tries(environment: Environment, caller: str) -> dict[str, Try]:
    """Return what is tried with a role or by the administrator, by name; a log stream is the caller's own."""
    return {
        **_objects(environment),
        **_log_groups(environment, caller),
        **_serving(environment),
        **_around(environment),
    }


def _objects(environment: Environment) -> dict[str, Try]:
    aws = environment.aws
    bucket = f"{aws.name}-123456789012-us-east-1"
    model = aws.sagemaker.describe_model(ModelName=environment.endpoint()["model"])
    assets, artifact = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    found = {
        "Get the artifact": Try("s3", "get_object", {"Bucket": assets, "Key": artifact}),
        "Replace the artifact": Try(
            "s3", "put_object", {"Bucket": assets, "Key": artifact, "Body": b""}, administrator=False
        ),
        "Get another asset": Try("s3", "get_object", {"Bucket": assets, "Key": "other"}, ("NoSuchKey",)),
        "List assets": Try("s3", "list_objects_v2", {"Bucket": assets}),
        "Get from another bucket": Try("s3", "get_object", {"Bucket": OTHER, "Key": "data/a"}),
        "Put into another bucket": Try("s3", "put_object", {"Bucket": OTHER, "Key": "training/a", "Body": b""}),
        "List everything": Try("s3", "list_objects_v2", {"Bucket": bucket}),
        "List buckets": Try("s3", "list_buckets", {}),
        "Read the bucket's policy": Try("s3", "get_bucket_policy", {"Bucket": bucket}),
        "Remove the bucket's policy": Try("s3", "delete_bucket_policy", {"Bucket": bucket}, administrator=False),
        "Remove the bucket": Try("s3", "delete_bucket", {"Bucket": bucket}, administrator=False),
    }
    for folder in FOLDERS:
        place = {"Bucket": bucket, "Key": f"{folder}/tried"}
        found[f"Put {folder}"] = Try("s3", "put_object", {**place, "Body": b"tried"})
        found[f"Get {folder}"] = Try("s3", "get_object", place, ("NoSuchKey",))  # where another has deleted it
        found[f"Delete {folder}"] = Try("s3", "delete_object", place)
        found[f"List {folder}"] = Try("s3", "list_objects_v2", {"Bucket": bucket, "Prefix": f"{folder}/"})
    return found


def _log_groups(environment: Environment, caller: str) -> dict[str, Try]:
    groups = (
        f"/aws/lambda/{environment.aws.name}",
        f"/aws/sagemaker/Endpoints/{environment.aws.name}",
        "/aws/sagemaker/TrainingJobs",
        "/aws/sagemaker/NotebookInstances",
        f"/kennel/{environment.aws.settings}/training",
        f"/aws/sagemaker/Endpoints/{OTHER}",
    )
    exists = ("ResourceAlreadyExistsException",)
    event = {"timestamp": int(time.time() * 1000), "message": "tried"}
    found = {}
    for name in groups:
        group, stream = {"logGroupName": name}, {"logGroupName": name, "logStreamName": f"tried-{caller}"}
        found[f"Create {name}"] = Try("logs", "create_log_group", group, exists)
        found[f"Create a stream of {name}"] = Try("logs", "create_log_stream", stream, exists)
        found[f"Write to {name}"] = Try("logs", "put_log_events", {**stream, "logEvents": [event]})
        found[f"Look at {name}"] = Try("logs", "describe_log_streams", group)
        found[f"Read {name}"] = Try("logs", "get_log_events", stream)
        found[f"Remove {name}"] = Try("logs", "delete_log_group", group, administrator=False)
    return found


def _serving(environment: Environment) -> dict[str, Try]:
    aws = environment.aws
    endpoint, guardrails = environment.endpoint(), environment.endpoint()["deployment"]["AutoRollbackConfiguration"]
    alarm = guardrails["Alarms"][0]["AlarmName"]
    datum = [{"MetricName": "Tried", "Value": 1.0}]
    queue = aws.sqs.get_queue_url(QueueName=f"{aws.name}-failures")["QueueUrl"]
    container = {"registryId": "763104351884", "imageIds": [{"imageTag": "tried"}]}
    absent = ("RepositoryNotFoundException",)  # the images of AWS's account are not there
    unknown = ("ValidationException", "ValidationError")
    role = {"ExecutionRoleArn": endpoint["role"], "PrimaryContainer": {"Image": "tried"}}
    return {
        "Invoke the endpoint": Try(
            # The answer to bytes that are no image: the model was asked.
            "sagemaker-runtime",
            "invoke_endpoint",
            {"EndpointName": aws.name, "Body": b"tried"},
            ("ModelError",),
        ),
        "Invoke another endpoint": Try(
            "sagemaker-runtime", "invoke_endpoint", {"EndpointName": OTHER, "Body": b"tried"}, unknown
        ),
        "Describe the endpoint": Try("sagemaker", "describe_endpoint", {"EndpointName": aws.name}),
        "Remove the endpoint": Try("sagemaker", "delete_endpoint", {"EndpointName": aws.name}, administrator=False),
        "Pass the hosting role to a model": Try(
            "sagemaker", "create_model", {"ModelName": OTHER, **role}, unknown, administrator=False
        ),
        "Create an endpoint": Try(
            "sagemaker", "create_endpoint", {"EndpointName": OTHER, "EndpointConfigName": OTHER}, unknown
        ),
        "Stop the workbench": Try(
            "sagemaker",
            "stop_notebook_instance",
            {"NotebookInstanceName": f"{aws.name}-workbench"},
            administrator=False,
        ),
        "Stop another notebook": Try(
            "sagemaker", "stop_notebook_instance", {"NotebookInstanceName": OTHER}, (*unknown, "RecordNotFound")
        ),
        **{
            f"Publish metrics of {namespace}": Try(
                "cloudwatch", "put_metric_data", {"Namespace": namespace, "MetricData": datum}
            )
            for namespace in ("/aws/sagemaker/Endpoints", "/aws/sagemaker/TrainingJobs", "AWS/Lambda")
        },
        "Look at a guardrail": Try("cloudwatch", "describe_alarms", {"AlarmNames": [alarm]}),
        "Look at every alarm": Try("cloudwatch", "describe_alarms", {}),
        "Remove a guardrail": Try("cloudwatch", "delete_alarms", {"AlarmNames": [alarm]}, administrator=False),
        "Log in to ECR": Try("ecr", "get_authorization_token", {}),
        "Pull ray": Try("ecr", "batch_get_image", {**container, "repositoryName": "ray"}, absent),
        "Pull pytorch": Try("ecr", "batch_get_image", {**container, "repositoryName": "pytorch"}, absent),
        "Pull from this account": Try(
            "ecr", "batch_get_image", {"repositoryName": "ray", "imageIds": [{"imageTag": "tried"}]}, absent
        ),
        "Report a failure": Try("sqs", "send_message", {"QueueUrl": queue, "MessageBody": "tried"}),
        "Read failures": Try("sqs", "receive_message", {"QueueUrl": queue, "VisibilityTimeout": 0}),
        "Look at the scaling": Try(
            "application-autoscaling", "describe_scalable_targets", {"ServiceNamespace": "sagemaker"}
        ),
    }


def _around(environment: Environment) -> dict[str, Try]:
    """Return tries at what is nobody's business."""
    aws, roles = environment.aws, roles_of(environment)
    function = {"FunctionName": aws.name}
    policy = {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
    topic = f"arn:aws:sns:us-east-1:123456789012:{aws.name}-alarms"
    found = {
        "Ring the alarm": Try("sns", "publish", {"TopicArn": topic, "Message": "tried"}),
        "Invoke the function": Try("lambda", "invoke", {**function, "Qualifier": "live"}),
        "Read the function": Try("lambda", "get_function", function),
        "Change the function": Try(
            "lambda", "update_function_configuration", {**function, "MemorySize": 128}, administrator=False
        ),
        "Create a user": Try("iam", "create_user", {"UserName": OTHER}, ("EntityAlreadyExists",)),
        "List roles": Try("iam", "list_roles", {}),
        "List keys": Try("kms", "list_keys", {}),
        "List secrets": Try("secretsmanager", "list_secrets", {}),
        "Read parameters": Try("ssm", "describe_parameters", {}),
        "List instances": Try("ec2", "describe_instances", {}),
        "Read the stack": Try("cloudformation", "describe_stacks", {"StackName": aws.stack("Api")}),
        "Remove the stack": Try("cloudformation", "delete_stack", {"StackName": aws.stack("Api")}, administrator=False),
    }
    for kind, role in roles.items():
        arn = aws.iam.get_role(RoleName=role)["Role"]["Arn"]
        found[f"Widen the role {kind}"] = Try(
            "iam", "attach_role_policy", {"RoleName": role, **policy}, administrator=False
        )
        found[f"Assume the role {kind}"] = Try(
            "sts", "assume_role", {"RoleArn": arn, "RoleSessionName": "tried"}, administrator=False
        )
    return found
