"""One template as it would be in one account and region, for the simulator and for golden alike."""

import re
from typing import Any

from tests.stacks.iam.policy_model import Template, render, without_identity

REGION, OTHER_REGION = "us-east-1", "eu-west-1"
ACCOUNT, OTHER_ACCOUNT = "123456789012", "111122223333"
PLACES = {"Partition": "aws", "Region": REGION, "Account": ACCOUNT}
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com"}
HERE = f"{REGION}:{ACCOUNT}"
ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{HERE}:{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{HERE}:{{}}",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{HERE}:alarm:{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{HERE}:function:{{}}",
    "AWS::Lambda::Alias": f"arn:aws:lambda:{HERE}:function:{{}}:live",
    "AWS::KMS::Key": f"arn:aws:kms:{HERE}:key/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{HERE}:log-group:{{}}:*",
}
REF_IS_ARN = ("AWS::SNS::Topic", "AWS::Lambda::Alias")


class World:
    """One template in one account and region: a text for everything that only CloudFormation knows."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.resources = {without_identity(name): item for name, item in template["Resources"].items()}

    def text(self, canonical: str) -> str:
        """Return a canonical text with every ``${...}`` replaced."""
        return re.sub(r"\$\{([^}]*)\}", lambda match: self._token(match[1]), canonical)

    def resolve(self, value: Any) -> Any:
        """Return a part of the template with its intrinsic functions carried out."""
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and re.fullmatch(r"Ref|Fn::.+", next(iter(value))):
            return self.text(render(value))
        return {self.text(key): self.resolve(one) for key, one in value.items()}

    def _token(self, token: str) -> str:
        if token in PSEUDO:
            return PSEUDO[token]
        if mapped := re.fullmatch(r"(\w+)\[AWS::Region\]\.(\w+)", token):
            return str(self.template["Mappings"][mapped[1]][REGION][mapped[2]])
        logical_id, _, attribute = token.partition(".")
        resource = self.resources.get(logical_id, {"Type": "unknown"})
        properties = resource.get("Properties", {})
        kinds = ("BucketName", "QueueName", "TopicName", "AlarmName", "FunctionName", "LogGroupName", "RoleName")
        named = next((properties[kind] for kind in kinds if isinstance(properties.get(kind), str | dict)), None)
        name = self.text(render(named)).rpartition(":")[2] if named else re.sub(r"\W+", "-", token.split(".")[0])
        name = name.lower() if resource["Type"] == "AWS::S3::Bucket" else name
        if resource["Type"] in ARNS and (attribute == "Arn" or resource["Type"] in REF_IS_ARN):
            return ARNS[resource["Type"]].format(name)
        return name if not attribute else f"{name}-{attribute}"
