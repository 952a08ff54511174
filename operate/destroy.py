"""Delete an environment, with the models and configurations that updates retained."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from operate import stack as stacks
from operate.account import Account, if_there
from operate.console import confirm, say
from operate.environment import Environment
from operate.errors import OperateError
from operate.retained import Thing, remove, retained

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

BATCH = 1000
"""Objects of one request. Source: S3 API reference, DeleteObjects."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of the StorageStack."""

    name: str
    kept: bool


@dataclass(frozen=True)
class Inventory:
    """The resources of an environment in an account.

    Attributes
    ----------
    stacks
        In an order in which they can be deleted.
    buckets
        Those of the StorageStack.
    has_log
        Whether the endpoint has written a log.
    retained
        The models and endpoint configurations that updates retained.
    """

    stacks: "list[StackTypeDef]"
    buckets: list[Bucket]
    has_log: bool
    retained: list[Thing]


def destroy(account: Account, environment: Environment, *, production: bool, yes: bool) -> None:
    """Delete the stacks, the objects of their buckets, the endpoint's log, and the models that updates retained.

    A bucket that the stack retains (``[storage] retain``) is kept with its objects.

    Parameters
    ----------
    account, environment
        What is destroyed, and where.
    production
        Whether an environment with termination protection may be destroyed.
    yes
        Whether the question was answered with yes on the command line.

    Raises
    ------
    OperateError
        The environment is protected, the answer is not yes, or something could not be deleted.
    """
    stacks.refuse_protected(account, environment, production=production, verb="destroying it")
    present = stacks.present(account, environment)
    inventory = Inventory(
        present,
        list(_buckets(account, environment, present)),
        _has_log(account, environment),
        retained(account, environment),
    )
    if not (inventory.stacks or inventory.retained or inventory.has_log):
        say(f"{environment.name} has no resources in {account}.")
        return
    _announce(account, environment, inventory)
    confirm(f"Delete all of this in account {account.id}?", yes=yes)
    _delete(account, environment, inventory)
    _remove_retained(account, environment)
    say(f"Destroyed {environment.name} in {account}{_kept(inventory.buckets)}.")


def _announce(account: Account, environment: Environment, inventory: Inventory) -> None:
    say(f"Destroying {environment.name} in {account} deletes")
    for stack in inventory.stacks:
        say(f"  stack      {stack['StackName']}")
    for bucket in inventory.buckets:
        if not bucket.kept:
            count, size = _content(account, bucket.name)
            say(f"  objects    {bucket.name}: {count:,} objects and versions, {size / 1e6:,.1f} MB")
    if inventory.has_log:
        say(f"  log group  {environment.log_group}")
    for thing in inventory.retained:
        say(f"  {thing.kind:<9}  {thing.name}, which an update retained")
    for bucket in inventory.buckets:
        if bucket.kept:
            say(f"and keeps the bucket {bucket.name}, which the settings retain.")


def _delete(account: Account, environment: Environment, inventory: Inventory) -> None:
    """Delete the stacks and what they would leave behind; the bucket's stack is the last."""
    storage, endpoint = environment.stack("Storage"), environment.stack("Endpoint")
    stacks.delete(account, [stack for stack in inventory.stacks if stack["StackName"] not in (endpoint, storage)])
    stacks.delete(account, [stack for stack in inventory.stacks if stack["StackName"] == endpoint])
    # The endpoint captured into the bucket until now.
    for bucket in inventory.buckets:
        if not bucket.kept:
            _empty(account, bucket.name)
    stacks.delete(account, [stack for stack in inventory.stacks if stack["StackName"] == storage])
    if inventory.has_log:
        _delete_log(account, environment)


def _remove_retained(account: Account, environment: Environment) -> None:
    """Delete what updates retained, and what a stack left behind by now.

    Raises
    ------
    OperateError
        One could not be deleted.
    """
    failed = remove(account, retained(account, environment))
    for thing, reason in failed.items():
        say(f"Not deleted: {thing.kind} {thing.name} ({reason})")
        say(f"  delete it with: {thing.command}")
    if failed:
        raise OperateError(
            f"{len(failed)} of the models and endpoint configurations could not be deleted; run the commands above"
        )


def _kept(buckets: list[Bucket]) -> str:
    names = [bucket.name for bucket in buckets if bucket.kept]
    return f"; kept {', '.join(names)}" if names else ""


def _buckets(account: Account, environment: Environment, found: "list[StackTypeDef]") -> Iterator[Bucket]:
    """Yield the buckets of the StorageStack; its template, not today's settings, says which are kept."""
    name = environment.stack("Storage")
    if name not in [item["StackName"] for item in found]:
        return
    declared: dict[str, Any] = stacks.template_of(account, name)["Resources"]
    pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    for page in pages:
        for item in page["StackResourceSummaries"]:
            if item["ResourceType"] != "AWS::S3::Bucket" or not item.get("PhysicalResourceId"):
                continue
            policy = declared.get(item["LogicalResourceId"], {}).get("DeletionPolicy", "Delete")
            if item["ResourceStatus"] != "DELETE_COMPLETE":
                yield Bucket(item["PhysicalResourceId"], kept=policy != "Delete")


def _versions(account: Account, bucket: str) -> Iterator[list[dict[str, Any]]]:
    with if_there("NoSuchBucket"):
        for page in account.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            yield [dict(item) for item in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]


def _content(account: Account, bucket: str) -> tuple[int, int]:
    """Return how many objects, versions and delete markers a bucket has, and their bytes."""
    items = [item for page in _versions(account, bucket) for item in page]
    return len(items), sum(int(item.get("Size", 0)) for item in items)


def _empty(account: Account, bucket: str) -> None:
    """Delete every version of every object.

    Raises
    ------
    OperateError
        S3 refuses to delete one.
    """
    for page in _versions(account, bucket):
        for start in range(0, len(page), BATCH):
            objects: Any = [
                {"Key": item["Key"], "VersionId": item["VersionId"]} for item in page[start : start + BATCH]
            ]
            answer = account.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", []):
                raise OperateError(f"s3://{bucket}/{error.get('Key')}: cannot be deleted: {error.get('Message')}")


def _has_log(account: Account, environment: Environment) -> bool:
    name = environment.log_group
    groups = account.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group.get("logGroupName") == name for group in groups)


def _delete_log(account: Account, environment: Environment) -> None:
    with if_there("ResourceNotFoundException"):  # a stack had it
        account.logs.delete_log_group(logGroupName=environment.log_group)
