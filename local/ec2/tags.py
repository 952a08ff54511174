"""The tags that RunInstances gives what it creates."""

from ministack.services import ec2

from local.core.errors import ServiceError

KINDS = ("instance", "volume", "network-interface", "spot-instances-request")
"""What RunInstances tags, that it creates here (API reference, RunInstances, TagSpecification)."""

Tags = list[dict[str, str]]


def read_tags(parameters: dict[str, str], *, spot: bool) -> dict[str, Tags]:
    """Return the tags that RunInstances sets, by the type of resource.

    Sources: API reference, LaunchTemplateTagSpecificationRequest ("If the instance does not include the resource type
    that you specify, the instance launch fails"); aws/aws-sdk-ruby 1718 (the words).

    Parameters
    ----------
    parameters
        The request's parameters, as the query protocol spells them.
    spot
        Whether the request is for the spot market.

    Raises
    ------
    ServiceError
        A type is not created, or a key is named twice.
    """
    by_type: dict[str, Tags] = {}
    number = 1
    while kind := parameters.get(f"TagSpecification.{number}.ResourceType"):
        if kind not in KINDS or (kind == "spot-instances-request" and not spot):
            words = f"'{kind}' is not a valid taggable resource type for this operation."
            raise ServiceError("InvalidParameterValue", words)
        tags = _tags(parameters, f"TagSpecification.{number}.Tag")
        if len({tag["Key"] for tag in tags}) < len(tags):
            raise ServiceError("InvalidParameterValue", "Duplicate tag key found. Please specify unique tag keys.")
        by_type[kind] = tags
        number += 1
    return by_type


def _tags(parameters: dict[str, str], prefix: str) -> Tags:
    tags, index = [], 1
    while key := parameters.get(f"{prefix}.{index}.Key"):
        tags.append({"Key": key, "Value": parameters.get(f"{prefix}.{index}.Value", "")})
        index += 1
    return tags


def put_tags(tags: dict[str, Tags], kind: str, *resources: str) -> None:
    """Tag resources.

    Parameters
    ----------
    tags
        Those of the request, by the type of resource.
    kind
        The resources' type, for example ``volume``.
    resources
        Their ids.
    """
    for resource in resources:
        if kind in tags:
            ec2._tags[resource] = list(tags[kind])
