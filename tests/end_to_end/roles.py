"""One call that each role may make and one that it may not, as AWS API calls, and who gives a test the role's keys.

The golden policies and the simulator (``tests/stacks/iam``) decide every other call. The roles of hosting, jobs and
instances make a few more, which alone show how the embedded AWS reads a request of CloudWatch, ECR, S3 and Logs
(``local/ministack/iam.py``).
"""

import json
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

OTHER = "kennel-somebody-else"


@dataclass(frozen=True)
class Try:
    """One call of an API.

    Attributes
    ----------
    errors
        Codes that a caller gets who is let in, where the thing asked for is not there.
    """

    service: str
    operation: str
    arguments: dict[str, Any]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tries:
    """What is tried with a role: calls that it may make, and calls that it may not."""

    may: list[Try]
    may_not: list[Try]


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


def tries(environment: Environment) -> dict[str, Tries]:
    """Return what is tried with each role; an administrator may do all of it, and harms nothing by it."""
    name, endpoint = environment.aws.name, environment.endpoint()
    model = environment.aws.sagemaker.describe_model(ModelName=endpoint["model"])
    assets, artifact = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").split("/", 1)
    bucket = f"{name}-123456789012-us-east-1"
    hosting_log = f"/aws/sagemaker/Endpoints/{name}"
    days = environment.settings["api"]["log_retention_days"]
    alarm = endpoint["deployment"]["AutoRollbackConfiguration"]["Alarms"][0]["AlarmName"]

    def put(folder: str) -> Try:
        return Try("s3", "put_object", {"Bucket": bucket, "Key": f"{folder}/tried", "Body": b"tried"})

    def delete(folder: str) -> Try:
        return Try("s3", "delete_object", {"Bucket": bucket, "Key": f"{folder}/tried"})

    return {
        "hosting": Tries(
            may=[
                Try("s3", "get_object", {"Bucket": assets, "Key": artifact}),
                _publish_to("/aws/sagemaker/Endpoints"),
                Try("cloudwatch", "describe_alarms", {"AlarmNames": [alarm]}),
                _pull("ray", registryId="763104351884"),
            ],
            may_not=[
                Try("s3", "get_object", {"Bucket": assets, "Key": "other"}, ("NoSuchKey",)),
                _publish_to("AWS/Lambda"),
                Try("cloudwatch", "describe_alarms", {}),
                _pull("ray"),
            ],
        ),
        "log retention": Tries(
            may=[Try("logs", "put_retention_policy", {"logGroupName": hosting_log, "retentionInDays": days})],
            may_not=[_look_at(hosting_log)],
        ),
        "function": Tries(
            may=[_invoke(name, "ModelError")],  # the model's answer to bytes that are no image
            may_not=[_invoke(OTHER, "ValidationException", "ValidationError")],
        ),
        "jobs": Tries(
            may=[put("models"), Try("s3", "list_objects_v2", {"Bucket": bucket, "Prefix": "data/"})],
            may_not=[put("data"), Try("s3", "list_objects_v2", {"Bucket": bucket})],
        ),
        "instances": Tries(
            may=[
                delete("training/checkpoints"),
                _create_a_stream_of(f"/kennel/{environment.aws.settings}/training"),
            ],
            may_not=[delete("training"), _create_a_stream_of(f"/aws/lambda/{name}")],
        ),
        "notebook": Tries(may=[put("training")], may_not=[put("models")]),
    }


def _look_at(group: str) -> Try:
    return Try("logs", "describe_log_streams", {"logGroupName": group})


def _create_a_stream_of(group: str) -> Try:
    stream = {"logGroupName": group, "logStreamName": "tried"}
    return Try("logs", "create_log_stream", stream, ("ResourceAlreadyExistsException",))


def _publish_to(namespace: str) -> Try:
    datum = [{"MetricName": "Tried", "Value": 1.0}]
    return Try("cloudwatch", "put_metric_data", {"Namespace": namespace, "MetricData": datum})


def _pull(repository: str, **registry: str) -> Try:
    image = {"repositoryName": repository, "imageIds": [{"imageTag": "tried"}], **registry}
    return Try("ecr", "batch_get_image", image, ("RepositoryNotFoundException",))


def _invoke(endpoint: str, *errors: str) -> Try:
    return Try("sagemaker-runtime", "invoke_endpoint", {"EndpointName": endpoint, "Body": b"tried"}, errors)
