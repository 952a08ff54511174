"""AWS's Deep Learning Containers: the account that holds them in a region, and the refusal where none is known."""

import os
from dataclasses import dataclass

from aws_cdk import Aws, CfnMapping, Stack, Token
from constructs import Construct

from stacks.settings import shown
from stacks.settings.errors import ConfigurationError

_OLDER_REGIONS = (
    "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1 eu-central-1 eu-north-1 "
    "eu-west-1 eu-west-2 eu-west-3 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2"
)
ACCOUNTS = {
    **dict.fromkeys(_OLDER_REGIONS.split(), "763104351884"),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
}
"""The account that holds the containers, by region.

Source: AWS Deep Learning Containers, "Region Availability" (github.com/aws/deep-learning-containers,
``docs/reference/region_availability.md``, 2026-08-21), which names none for GovCloud. The CDK's own facts lack seven of
these regions.
"""


@dataclass(frozen=True)
class Repository:
    """A repository of Amazon ECR: its URI without a tag, and its ARN."""

    uri: str
    arn: str


def aws_repository(scope: Construct, name: str, *, way_out: str) -> Repository:
    """Return a repository of AWS's Deep Learning Containers in the stack's region.

    Parameters
    ----------
    way_out
        What to do in a region where Kennel knows no such repository: the end of the error message.

    Raises
    ------
    ConfigurationError
        The region is known at synthesis, and Kennel knows no account of it.
    """
    stack = Stack.of(scope)
    account = _account(stack, way_out)
    return Repository(
        f"{account}.dkr.ecr.{stack.region}.{stack.url_suffix}/{name}",
        stack.format_arn(service="ecr", account=account, resource="repository", resource_name=name),
    )


def _account(stack: Stack, way_out: str) -> str:
    bound = None if Token.is_unresolved(stack.region) else stack.region
    # The CDK's command line sets it to the region that it deploys a stack to that is bound to none.
    region = bound or os.environ.get("CDK_DEFAULT_REGION")
    if region and region not in ACCOUNTS:
        raise ConfigurationError(
            f"{stack.stack_name}: Kennel knows no repository of AWS's Deep Learning Containers in region "
            f"{shown(region)}: {way_out}, or deploy to another region"
        )
    if bound:
        return ACCOUNTS[bound]
    # A mapping, not a look-up: the template works in any of the regions. CloudFormation refuses it in others
    # ("Unable to get mapping for DlcRepositoryAccountMap").
    mapping = stack.node.try_find_child("DlcRepositoryAccountMap")
    if not isinstance(mapping, CfnMapping):
        values = {region: {"value": account} for region, account in sorted(ACCOUNTS.items())}
        mapping = CfnMapping(stack, "DlcRepositoryAccountMap", mapping=values)
    return mapping.find_in_map(Aws.REGION, "value")
