"""What each statement is for, as a fact of its own template: the resources that something there asks for.

A need looks at everything but IAM in a template and returns the resources that the statement must name, exactly; when
what asked for them goes away, so does the need, and a statement that is left behind fails the test.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.stacks.iam.policy_model import Template, render

PARTITION, PLACE = "arn:${AWS::Partition}", "${AWS::Region}:${AWS::AccountId}"
EVERYTHING = {"*"}
IMAGE = re.compile(r"(.+)\.dkr\.ecr\.([^.]+)\.[^/]+/((?:\$\{[^}]*\}|[^:@])+)(?:[:@].+)?")
INTRINSIC = re.compile(r"Ref|Fn::.+")


class View:
    """What one role's template is without its IAM resources, every value a canonical text.

    Attributes
    ----------
    role
        The role as others of the template refer to it.
    bucket_key
        The key that the bucket of the StorageStack is encrypted with, if it is one of the user's.
    """

    def __init__(self, template: Template, role: str, bucket_key: str | None = None) -> None:
        self.role, self.bucket_key = f"${{{role}.Arn}}", bucket_key
        self.outputs = {name: render(output["Value"]) for name, output in template.get("Outputs", {}).items()}
        self.resources = {
            name: (item["Type"], _rendered(item.get("Properties", {}))) for name, item in template["Resources"].items()
        }

    def of(self, kind: str) -> list[Any]:
        return [properties for a_kind, properties in self.resources.values() if a_kind == kind]

    def output(self, *names: str) -> list[str]:
        return [self.outputs[name] for name in names if name in self.outputs]


Need = Callable[[View], set[str]]


def _rendered(value: Any) -> Any:
    if isinstance(value, list):
        return [_rendered(one) for one in value]
    if not isinstance(value, dict):
        return str(value)
    if len(value) == 1 and INTRINSIC.fullmatch(next(iter(value))):
        return render(value)
    return {key: _rendered(one) for key, one in value.items()}


def _everything_if(needed: object) -> set[str]:
    return EVERYTHING if needed else set()


def _objects(urls: list[str], suffix: str = "") -> set[str]:
    return {f"{PARTITION}:s3:::{url.removeprefix('s3://')}{suffix}" for url in urls}


def _log_group(name: str) -> str:
    return f"{PARTITION}:logs:{PLACE}:log-group:{name}"


def _group_and_streams(names: list[str]) -> set[str]:
    return {f"{_log_group(name)}{end}" for name in names for end in ("", ":*")}


def _repositories(images: list[str]) -> set[str]:
    found = [IMAGE.fullmatch(image) for image in images]
    return {f"{PARTITION}:ecr:{one[2]}:{one[1]}:repository/{one[3]}" for one in found if one}


def _mine(view: View, kind: str, role: str) -> list[Any]:
    return [properties for properties in view.of(kind) if properties.get(role) == view.role]


def _containers(view: View, field: str) -> list[str]:
    return [model["PrimaryContainer"][field] for model in _mine(view, "AWS::SageMaker::Model", "ExecutionRoleArn")]


def _bucket_key_if(view: View, needed: object) -> set[str]:
    return {view.bucket_key} if view.bucket_key and needed else set()


def _log_groups_of_functions(view: View) -> Iterator[str]:
    for function in view.of("AWS::Lambda::Function"):
        group = function.get("LoggingConfig", {}).get("LogGroup", "")
        _, properties = view.resources.get(group.strip("${}"), ("", {}))
        yield properties.get("LogGroupName", group)


def _failure_queues(view: View) -> Iterator[str]:
    for config in view.of("AWS::Lambda::EventInvokeConfig"):
        yield config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")


def _rollback_alarms(view: View) -> Iterator[str]:
    for endpoint in view.of("AWS::SageMaker::Endpoint"):
        rollback = endpoint.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {})
        for alarm in rollback.get("Alarms", []):
            yield f"{alarm['AlarmName'][:-1]}.Arn}}"


def _groups_given_by_schedules(view: View, member: str) -> set[str]:
    """Return the log groups that the role's schedules give a retention or a key."""
    groups = []
    for schedule in view.of("AWS::Scheduler::Schedule"):
        target = schedule.get("Target", {})
        if target.get("RoleArn") == view.role and member in target["Input"]:
            groups.append(json.loads(target["Input"])["LogGroupName"])
    return _group_and_streams(groups)


def _captures(view: View) -> Iterator[str]:
    for config in view.of("AWS::SageMaker::EndpointConfig"):
        capture = config.get("DataCaptureConfig", {})
        if capture.get("EnableCapture") == "True":
            yield capture["DestinationS3Uri"]


def _artifacts_elsewhere(view: View) -> list[str]:
    """Return the artifacts that do not lie in the bootstrap's bucket, which has its own encryption."""
    return [url for url in _containers(view, "ModelDataUrl") if "-assets-${AWS::AccountId}" not in url]


def _buckets(view: View) -> list[str]:
    return [url.removesuffix("training/") for url in view.output("TrainingUri")]


def _notebooks(view: View) -> list[Any]:
    return _mine(view, "AWS::SageMaker::NotebookInstance", "RoleArn")


def _ec2(*resources: str) -> set[str]:
    return {f"{PARTITION}:ec2:{PLACE}:{resource}" for resource in resources}


def _interfaces_if(needed: object) -> set[str]:
    return _ec2("network-interface/*") if needed else set()


def _network_of_jobs(view: View) -> set[str]:
    """Return what a job of the outputs' VPC asks for: all of its subnets and security groups."""
    named = [
        f"{kind}/{name}"
        for output, kind in (("SubnetIds", "subnet"), ("SecurityGroupIds", "security-group"))
        for listed in view.output(output)
        for name in listed.split(",")
    ]
    return _ec2("network-interface/*", *named) if named else set()


def _network_of_notebooks(view: View) -> set[str]:
    """Return what a notebook asks for: the one subnet that it is in, and its security groups."""
    found: set[str] = set()
    for notebook in _notebooks(view):
        if "SubnetId" in notebook:
            groups = [f"security-group/{name}" for name in notebook["SecurityGroupIds"]]
            found |= _ec2("network-interface/*", f"subnet/{notebook['SubnetId']}", *groups)
    return found


def _profiled_instances(view: View) -> list[Any]:
    templates = view.of("AWS::EC2::LaunchTemplate")
    return [one for one in templates if "IamInstanceProfile" in one.get("LaunchTemplateData", {})]


BUCKET: dict[str, Need] = {
    "ListPrefixes": lambda view: _objects([url.rstrip("/") for url in _buckets(view)]),
    "ReadObjects": lambda view: _objects([f"{url}data/" for url in _buckets(view)] + view.output("TrainingUri"), "*"),
    "WriteObjects": lambda view: _objects(view.output("ModelUri", "TrainingUri"), "*"),
    "DeleteCheckpoints": lambda view: _objects(view.output("CheckpointUri"), "*"),
    "UseKey": lambda view: _bucket_key_if(view, _buckets(view)),
}

HOSTING: dict[str, Need] = {
    "ReadArtifact": lambda view: _objects(_containers(view, "ModelDataUrl")),
    "UseKey": lambda view: _bucket_key_if(view, [*_captures(view), *_artifacts_elsewhere(view)]),
    "LogInToEcr": lambda view: _everything_if(_repositories(_containers(view, "Image"))),
    "PullImage": lambda view: _repositories(_containers(view, "Image")),
    "WriteEndpointLogs": lambda view: _group_and_streams(
        [
            f"/aws/sagemaker/Endpoints/{endpoint['EndpointName']}"
            for endpoint in view.of("AWS::SageMaker::Endpoint")
            if endpoint
        ]
    ),
    "PublishInstanceMetrics": lambda view: _everything_if(
        [
            variant
            for config in view.of("AWS::SageMaker::EndpointConfig")
            for variant in config.get("ProductionVariants", [])
        ]
    ),
    "ReadAlarms": lambda view: set(_rollback_alarms(view)),
    "WriteCapture": lambda view: _objects(list(_captures(view)), "/*"),
}

NEEDS: dict[str, dict[str, Need]] = {
    "Endpoint-AllTrafficHostingRole": HOSTING,
    "Endpoint-NextHostingRole": HOSTING,
    "Endpoint-LogRetentionRole": {
        "KeepEndpointLogs": lambda view: _groups_given_by_schedules(view, "RetentionInDays"),
        "EncryptEndpointLogs": lambda view: _groups_given_by_schedules(view, "KmsKeyId"),
    },
    "Api-Role": {
        "InvokeEndpoint": lambda view: {
            f"{PARTITION}:sagemaker:{PLACE}:endpoint/{function['Environment']['Variables']['ENDPOINT_NAME']}"
            for function in view.of("AWS::Lambda::Function")
            if function
        },
        "WriteFunctionLogs": lambda view: {f"{_log_group(name)}:*" for name in _log_groups_of_functions(view)},
        "SendFailures": lambda view: set(_failure_queues(view)),
        "UseQueueKey": lambda view: {
            queue["KmsMasterKeyId"] for queue in view.of("AWS::SQS::Queue") if "KmsMasterKeyId" in queue
        },
        "SendTraces": lambda view: _everything_if(
            [
                function
                for function in view.of("AWS::Lambda::Function")
                if function.get("TracingConfig") == {"Mode": "Active"}
            ]
        ),
    },
    "Training-JobRole": {
        **BUCKET,
        "LogInToEcr": lambda view: _everything_if(_repositories(view.output("TrainingRepositoryUri"))),
        "PullImage": lambda view: _repositories(view.output("TrainingRepositoryUri")),
        "WriteTrainingJobLogs": lambda view: _group_and_streams(
            ["/aws/sagemaker/TrainingJobs" for _ in view.output("TrainingRoleArn")]
        ),
        "PublishTrainingMetrics": lambda view: _everything_if(view.output("TrainingRoleArn")),
        "EncryptJobOutput": lambda view: _bucket_key_if(view, view.output("TrainingRoleArn")),
        "DescribeNetwork": lambda view: _everything_if(_network_of_jobs(view)),
        "CreateNetworkInterfaces": _network_of_jobs,
        "ManageNetworkInterfaces": lambda view: _interfaces_if(_network_of_jobs(view)),
    },
    "Training-NotebookRole": {
        "ListPrefixes": lambda view: BUCKET["ListPrefixes"](view) if _notebooks(view) else set(),
        "ReadObjects": lambda view: BUCKET["ReadObjects"](view) if _notebooks(view) else set(),
        "WriteObjects": lambda view: _objects(view.output("TrainingUri"), "*") if _notebooks(view) else set(),
        "UseKey": lambda view: _bucket_key_if(view, _notebooks(view)),
        "WriteNotebookLogs": lambda view: _group_and_streams(
            ["/aws/sagemaker/NotebookInstances" for _ in _notebooks(view)]
        ),
        "StopItself": lambda view: {
            f"{PARTITION}:sagemaker:{PLACE}:notebook-instance/{notebook['NotebookInstanceName']}"
            for notebook in _notebooks(view)
            if "LifecycleConfigName" in notebook
        },
        "DescribeNetwork": lambda view: _everything_if(_network_of_notebooks(view)),
        "CreateNetworkInterfaces": _network_of_notebooks,
        "ManageNetworkInterfaces": lambda view: _interfaces_if(_network_of_notebooks(view)),
    },
    "Training-InstanceRole": {
        **BUCKET,
        "WriteInstanceLogs": lambda view: {
            f"{_log_group(group['LogGroupName'])}:*"
            for group in view.of("AWS::Logs::LogGroup")
            if group.get("LogGroupName") in view.output("InstanceLogGroup")
        },
        "RegisterInstance": lambda view: {f"{PARTITION}:ec2:{PLACE}:instance/*" for _ in _profiled_instances(view)},
        "OpenSessionChannels": lambda view: _everything_if(_profiled_instances(view)),
    },
}
"""For each role, for each of its statements by Sid."""
