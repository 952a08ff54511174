"""What `./kennel cdk deploy` made for training: the outputs of the environment's TrainingStack."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from training.common.aws import Aws
from training.common.aws_errors import code_of, explained
from training.common.errors import TrainingError
from training.common.s3 import Address, split

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import TagTypeDef

ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,19}")
SETTINGS = Path(__file__).parents[2] / "settings"


@dataclass(frozen=True)
class Site:
    """Where an environment trains.

    Parameters
    ----------
    bucket
        The bucket, of which jobs read ``data/`` and ``training/`` and write ``training/`` and ``models/``.
    repository
        AWS's PyTorch training container, without a tag.
    subnets, security_groups
        Of the settings' own network, if there is one.
    template, instance_logs
        EC2's launch template and log group; None where the settings switch them off.
    spot
        Whether the template asks for the spot market.
    tags
        The stack's.
    """

    environment: str
    region: str
    bucket: str
    role: str
    repository: str
    key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    template: str | None = None
    instance_logs: str | None = None
    spot: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    def uri(self, key: str) -> str:
        """Return the address of an object or a prefix of the bucket."""
        return str(Address(self.bucket, key))


def find_site(aws: Aws, environment: str) -> Site:
    """Read the stack's outputs.

    Parameters
    ----------
    environment
        Name of a settings file, such as ``dev``.

    Raises
    ------
    TrainingError
        There is no such stack, it is being changed, AWS cannot be asked, or the settings bind the environment to
        another account or region.
    """
    if not ENVIRONMENT.fullmatch(environment):
        raise TrainingError(f"--environment {environment} is not the name of a settings file such as dev")
    stack = f"KennelTraining-{environment}"
    deploy = f"`./kennel cdk deploy --all -c environment={environment} -c model=none` makes it"
    with explained():
        try:
            description = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if code_of(error) == "ValidationError":
                region = aws.cloudformation.meta.region_name
                raise TrainingError(f"there is no stack {stack} in this account and {region}; {deploy}") from None
            raise
        _check_binding(environment, description["StackId"])
        outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        try:
            return _site(
                environment, aws.cloudformation.meta.region_name, outputs, _own_tags(description.get("Tags", []))
            )
        except KeyError as error:
            raise TrainingError(
                f"the stack {stack} is {description['StackStatus']} and has no output {error.args[0]}; {deploy}"
            ) from None


def _check_binding(environment: str, stack: str) -> None:
    """Compare ``[account]`` of the settings with the account and region of the stack.

    Parameters
    ----------
    stack
        The stack's ARN, whose account is that of the credentials.

    Raises
    ------
    TrainingError
        They differ, or the settings cannot be read.
    """
    file = f"settings/{environment}.toml"
    try:
        bound = tomllib.loads((SETTINGS / f"{environment}.toml").read_text(encoding="utf-8")).get("account", {})
    except FileNotFoundError:
        return  # another checkout deployed it
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from None
    _, _, _, region, account, _ = stack.split(":", 5)
    for key, actual, advice in (
        ("id", account, "set AWS_PROFILE to a profile of that account"),
        ("region", region, f"set AWS_REGION={bound.get('region')}"),
    ):
        if bound.get(key, actual) != actual:
            raise TrainingError(
                f'{file} binds {environment} to account.{key} = "{bound[key]}", and your credentials and region lead '
                f"to {actual}: nothing was started; {advice}"
            )


def tags(site: Site) -> list[dict[str, str]]:
    """Return the tags of the stack, for whatever is started.

    CloudFormation gives them to the stack's resources only. The budget finds spending by one of them, and policies of
    organisations refuse a launch without the tags that they require.
    """
    return [{"Key": key, "Value": value} for key, value in site.tags.items()]


def _own_tags(listed: Sequence["TagTypeDef"]) -> dict[str, str]:
    """Return a stack's tags without those that AWS sets, which no request may name (EC2 guide, "Tag restrictions")."""
    return {tag["Key"]: tag["Value"] for tag in listed if not tag["Key"].lower().startswith("aws:")}


def _site(environment: str, region: str, outputs: Mapping[str, str], stack_tags: Mapping[str, str]) -> Site:
    return Site(
        environment,
        region,
        bucket=split(outputs["TrainingUri"]).bucket,
        role=outputs["TrainingRoleArn"],
        repository=outputs["TrainingRepositoryUri"],
        key=outputs.get("KeyArn"),
        subnets=_names(outputs.get("SubnetIds")),
        security_groups=_names(outputs.get("SecurityGroupIds")),
        template=outputs.get("LaunchTemplateId"),
        instance_logs=outputs.get("InstanceLogGroup"),
        spot=outputs.get("InstanceMarket") == "spot",
        tags=stack_tags,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
