"""``resolve:ssm:PARAMETER`` in place of an image's id, resolved whenever an instance starts."""

from typing import Any

from ministack.services import ssm
from ministack.services.cloudformation import provisioners

from local.core.caller import Caller
from local.core.errors import ServiceError
from local.core.json_service import Parameters
from local.core.names import ACCOUNT, REGION
from local.ministack.cloudformation import Created, failed_event

RESOLVE = "resolve:ssm:"
TEMPLATE = "AWS::EC2::LaunchTemplate"
PUBLIC = "/aws/service/"


def register() -> None:
    """Have CloudFormation's launch templates name parameters that exist (aws/aws-cdk 26712)."""
    handlers: dict[str, Any] = provisioners._RESOURCE_HANDLERS[TEMPLATE]
    create, update = handlers["create"], handlers["update"]

    def create_checked(logical_id: str, properties: Parameters, stack: str) -> Created:
        _check(properties)
        made: Created = create(logical_id, properties, stack)
        return made

    def update_checked(physical_id: str, old: Parameters, new: Parameters, stack: str, *logical_id: str) -> Created:
        _check(new)
        made: Created = update(physical_id, old, new, stack, *logical_id)
        return made

    handlers.update(create=create_checked, update=update_checked)


def _check(properties: Parameters) -> None:
    image = str(properties.get("LaunchTemplateData", {}).get("ImageId", ""))
    if image.startswith(RESOLVE):
        with failed_event("AmazonEC2", "; "):
            _value(image.removeprefix(RESOLVE))


def resolve_image(parameters: dict[str, str], caller: Caller) -> dict[str, str]:
    """Return RunInstances' parameters with an image's id.

    Whoever uses the launch template needs ``ssm:GetParameters`` (Amazon EC2 Auto Scaling guide, "Use AWS Systems
    Manager parameters instead of AMI IDs in launch templates"); the words of the refusal: kent8192/reinhardt-web 2027.

    Parameters
    ----------
    parameters
        RunInstances' parameters, merged with the launch template.

    Raises
    ------
    ServiceError
        The caller may not read the parameter, or it names no image.
    """
    image = parameters.get("ImageId", "")
    if not image.startswith(RESOLVE):
        return parameters
    name = image.removeprefix(RESOLVE)
    owner = "" if name.startswith(PUBLIC) else ACCOUNT
    if caller.denial("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{owner}:parameter/{name.lstrip('/')}"):
        raise ServiceError("SsmAccessDenied", "Access denied to SSM")
    return {**parameters, "ImageId": _value(name)}


def _value(name: str) -> str:
    """Return a parameter's value; AWS's code for one that does not exist was not found, so it is that of the other."""
    parameter, error = ssm._select_parameter(name)
    if error:
        raise ServiceError("SsmInvalidParameter", f"The parameter {name} does not exist")
    if not name.startswith(PUBLIC) and parameter.get("DataType", "text") != "aws:ec2:image":
        words = "Unsupported data type. The following parameter data types are supported: aws:ec2:image"
        raise ServiceError("SsmInvalidParameter", words)
    return str(parameter["Value"])
