"""Properties of SNS and HTTP API types that ministack drops or misspells, and a public parameter that it lacks."""

from collections.abc import Callable

from ministack.services import sns, ssm
from ministack.services.cloudformation import provisioners

from local.core.json_service import Parameters
from local.ministack.cloudformation import Created, complete_after

DEEP_LEARNING_IMAGES = "/aws/service/deeplearning/ami/"
STAND_IN_IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"

TOPIC_ATTRIBUTES = ("KmsMasterKeyId", "SignatureVersion", "TracingConfig")
"""Properties of a topic that GetTopicAttributes returns under the same name."""


def register() -> None:
    """Wrap ministack's handlers of the types."""
    complete_after("AWS::SNS::Topic", _topic)
    provisioners._apigw_v2_stage_props = _convert_members_after(
        provisioners._apigw_v2_stage_props, "defaultRouteSettings", "routeSettings"
    )
    for handler in ("create", "update"):
        handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
        handlers[handler] = _convert_cors_before(handlers[handler])
    ssm._public_parameter = _with_deep_learning_images(ssm._public_parameter)


def _with_deep_learning_images(
    find: Callable[[str], Parameters | None],
) -> Callable[[str], Parameters | None]:
    """Answer the public parameters of every Deep Learning AMI with ministack's stand-in image."""

    def find_or_stand_in(name: str) -> Parameters | None:
        parameter = find(STAND_IN_IMAGE if name.startswith(DEEP_LEARNING_IMAGES) else name)
        return parameter and {**parameter, "Name": name, "ARN": str(parameter["ARN"]).replace(STAND_IN_IMAGE, name)}

    return find_or_stand_in


def _topic(created: Created, old: Parameters, new: Parameters) -> Created:
    attributes = sns._topics[created[0]]["attributes"]
    for name in TOPIC_ATTRIBUTES:
        if name in new:
            attributes[name] = str(new[name])
        else:
            attributes.pop(name, None)
    return created


def _convert_members_after(
    properties: Callable[[Parameters], Parameters], *members: str
) -> Callable[[Parameters], Parameters]:
    """Spell members of a record as the API does: ``throttlingRateLimit``, not ``ThrottlingRateLimit``."""

    def record(template: Parameters) -> Parameters:
        stage = properties(template)
        return stage | {member: provisioners._pascal_to_camel(stage[member]) for member in members}

    return record


def _convert_cors_before(handle: Callable[..., Created]) -> Callable[..., Created]:
    def handle_api(*arguments: object) -> Created:
        return handle(*(_convert_cors(argument) if isinstance(argument, dict) else argument for argument in arguments))

    return handle_api


def _convert_cors(template: Parameters) -> Parameters:
    if "CorsConfiguration" not in template:
        return template
    return {**template, "CorsConfiguration": provisioners._pascal_to_camel(template["CorsConfiguration"])}
