"""What each statement is for, as a fact of its own template: the resources that something there asks for.

A need looks at everything but IAM in a template and returns the resources that the statement must name, exactly; when
what asked for them goes away, so does the need, and a statement that is left behind fails the test.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.stacks.iam.policy_model import Template, render

PARTITION, PLACE = "arn:${AWS::Partition}", "${AWS::Region}:${AWS::AccountId}"
EVERYTHING = {"*"}
INTRINSIC = re.compile(r"Ref|Fn::.+")


class View:
    """A template without its IAM resources, every value a canonical text."""

    def __init__(self, template: Template) -> None:
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
    found = [re.fullmatch(r"(.+)\.dkr\.ecr\.([^.]+)\.[^/]+/([^:@]+)(?:[:@].+)?", image) for image in images]
    return {f"{PARTITION}:ecr:{one[2]}:{one[1]}:repository/{one[3]}" for one in found if one}


def _images(view: View) -> list[str]:
    return [model["PrimaryContainer"]["Image"] for model in view.of("AWS::SageMaker::Model") if model]


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


def _captures(view: View) -> Iterator[str]:
    for config in view.of("AWS::SageMaker::EndpointConfig"):
        capture = config.get("DataCaptureConfig", {})
        if capture.get("EnableCapture") == "True":
            yield capture["DestinationS3Uri"]


def _buckets(view: View) -> list[str]:
    return [url.removesuffix("training/") for url in view.output("TrainingUri")]


def _profiled_instances(view: View) -> list[Any]:
    templates = view.of("AWS::EC2::LaunchTemplate")
    return [one for one in templates if "IamInstanceProfile" in one.get("LaunchTemplateData", {})]


BUCKET: dict[str, Need] = {
    "ListPrefixes": lambda view: _objects([url.rstrip("/") for url in _buckets(view)]),
    "ReadObjects": lambda view: _objects([f"{url}data/" for url in _buckets(view)] + view.output("TrainingUri"), "*"),
    "WriteObjects": lambda view: _objects(view.output("ModelUri", "TrainingUri"), "*"),
    "DeleteCheckpoints": lambda view: _objects(view.output("CheckpointUri"), "*"),
}

HOSTING: dict[str, Need] = {
    "ReadArtifact": lambda view: _objects(
        [model["PrimaryContainer"]["ModelDataUrl"] for model in view.of("AWS::SageMaker::Model") if model]
    ),
    "LogInToEcr": lambda view: _everything_if(_repositories(_images(view))),
    "PullImage": lambda view: _repositories(_images(view)),
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
            if "InstanceType" in variant
        ]
    ),
    "ReadAlarms": lambda view: set(_rollback_alarms(view)),
    "WriteCapture": lambda view: _objects(list(_captures(view)), "/*"),
}

NEEDS: dict[str, dict[str, Need]] = {
    "Endpoint-AllTrafficHostingRole": HOSTING,
    "Api-Role": {
        "InvokeEndpoint": lambda view: {
            f"{PARTITION}:sagemaker:{PLACE}:endpoint/{function['Environment']['Variables']['ENDPOINT_NAME']}"
            for function in view.of("AWS::Lambda::Function")
            if function
        },
        "WriteFunctionLogs": lambda view: {f"{_log_group(name)}:*" for name in _log_groups_of_functions(view)},
        "SendFailures": lambda view: set(_failure_queues(view)),
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
