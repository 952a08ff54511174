"""Models and endpoint configurations of an environment that no stack has any more, because an update retained them."""

from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from operate.account import Account, if_there
from operate.environment import Environment
from operate.serving import resources


@dataclass(frozen=True)
class Thing:
    """A model or an endpoint configuration."""

    kind: str
    name: str

    @property
    def command(self) -> str:
        """The command that deletes it."""
        return f"aws sagemaker delete-{self.kind} --{self.kind}-name {self.name}"


def retained(account: Account, environment: Environment) -> list[Thing]:
    """Return what carries the environment's tags, is in none of its stacks, and serves no other endpoint.

    CloudFormation puts a stack's tags on both kinds, and the tag ``Deployment`` is the environment's alone.
    """
    stack = environment.stack("Endpoint")
    configs = _tagged_configs(account, environment)
    models = _tagged_models(account, environment)
    for config in _used_elsewhere(account, environment, configs):
        variants = account.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        models -= {variant.get("ModelName", "") for variant in variants}
        configs -= {config}
    in_stack = {
        kind: {physical.rsplit("/", 1)[-1].lower() for physical in resources(account, stack, kind)}
        for kind in ("AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Model")
    }
    return [
        *(
            Thing("endpoint-config", name)
            for name in sorted(configs)
            if name.lower() not in in_stack["AWS::SageMaker::EndpointConfig"]
        ),
        *(Thing("model", name) for name in sorted(models) if name.lower() not in in_stack["AWS::SageMaker::Model"]),
    ]


def remove(account: Account, things: list[Thing]) -> dict[Thing, str]:
    """Delete things; return those that could not be deleted, each with the reason."""
    failed = {}
    for thing in things:
        try:
            with if_there():
                if thing.kind == "model":
                    account.sagemaker.delete_model(ModelName=thing.name)
                else:
                    account.sagemaker.delete_endpoint_config(EndpointConfigName=thing.name)
        except (ClientError, BotoCoreError) as error:
            failed[thing] = str(error)
    return failed


def _tagged_models(account: Account, environment: Environment) -> set[str]:
    pages = account.sagemaker.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 100})
    listed = [(item["ModelName"], item["ModelArn"]) for page in pages for item in page["Models"]]
    return {name for name, arn in listed if _is_ours(account, environment, arn)}


def _tagged_configs(account: Account, environment: Environment) -> set[str]:
    pages = account.sagemaker.get_paginator("list_endpoint_configs").paginate(PaginationConfig={"PageSize": 100})
    listed = [
        (item["EndpointConfigName"], item["EndpointConfigArn"]) for page in pages for item in page["EndpointConfigs"]
    ]
    return {name for name, arn in listed if _is_ours(account, environment, arn)}


def _is_ours(account: Account, environment: Environment, arn: str) -> bool:
    with if_there():
        pages = account.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        return environment.tags.items() <= tags.items()
    return False  # deleted since it was listed


def _used_elsewhere(account: Account, environment: Environment, configs: set[str]) -> Iterator[str]:
    """Yield the configurations that an endpoint of another name uses: deleting one would leave it beyond repair."""
    if not configs:
        return
    for page in account.sagemaker.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100}):
        for endpoint in page["Endpoints"]:
            name = endpoint["EndpointName"]
            if name == environment.endpoint:
                continue
            used = account.sagemaker.describe_endpoint(EndpointName=name).get("EndpointConfigName", "")
            if used in configs:
                yield used
