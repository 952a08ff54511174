"""Remove what is billed by the hour, and restore it: the endpoint, provisioned concurrency, the workbench notebook.

The bucket, the function with its URL, the HTTP API, the names, the alarms and the artifact stay. What waking needs is
in the environment's bucket, so that any clone can wake what another put to sleep.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from operate import stack as stacks
from operate.account import Account, if_there
from operate.artifact import Address, Manifest, context_of, found_manifest, manifest_beside, prove_pair
from operate.console import confirm, say
from operate.deploy import roll_out
from operate.environment import Environment
from operate.errors import OperateError
from operate.serving import live

RECORD = "models/asleep.json"
"""The key, in the environment's bucket, of what waking needs."""


@dataclass(frozen=True)
class Record:
    """What waking an environment needs.

    Attributes
    ----------
    artifact
        The address of the artifact that served.
    copy
        Its address in the environment's bucket, which nothing but the environment's end deletes.
    notebook
        Whether the workbench notebook ran.
    """

    artifact: str
    copy: str
    notebook: bool


def sleep(account: Account, environment: Environment, *, manifest: Path | None, production: bool, yes: bool) -> None:
    """Delete the endpoint's stack and provisioned concurrency, and stop the notebook.

    After an interruption, running it again resumes.

    Parameters
    ----------
    account, environment
        What is put to sleep, and where.
    manifest
        The manifest of the artifact that serves; None for the one beside the artifact.
    production
        Whether an environment with termination protection may be put to sleep.
    yes
        Whether the question was answered with yes on the command line.

    Raises
    ------
    OperateError
        The environment is protected, has no endpoint, or its artifact could not be found again.
    """
    stacks.refuse_protected(account, environment, production=production, verb="putting it to sleep")
    endpoint = stacks.describe(account, environment.stack("Endpoint"))
    if endpoint is None:
        if _read(account, environment) is None:
            raise OperateError(
                f"there is no {environment.stack('Endpoint')} in {account}, so {environment.name} has nothing to put "
                "to sleep"
            )
        say(f"{environment.name} is asleep; `make wake ENVIRONMENT={environment.name}` wakes it.")
        return
    record, proved = _asleep(account, environment, manifest)
    confirm(
        f"Put {environment.name} in {account} to sleep? Until it is woken, every request is answered with an error.",
        yes=yes,
    )
    _keep(account, environment, record, proved)
    _rest(account, environment, record)
    stacks.delete(account, [endpoint])
    say(
        f"{environment.name} is asleep. The bucket, the function and its URL, the alarms and the artifact "
        f"({record.copy}) stay; `make wake ENVIRONMENT={environment.name}` brings the endpoint back."
    )


def wake(account: Account, environment: Environment, *, production: bool, yes: bool) -> None:
    """Deploy the environment with the artifact that served when it was put to sleep.

    Parameters
    ----------
    account, environment
        What wakes, and where.
    production
        Whether an environment with termination protection may be changed.
    yes
        Whether changes of permissions need no yes.

    Raises
    ------
    OperateError
        The environment is protected, was not put to sleep, or cannot be deployed.
    """
    stacks.refuse_protected(account, environment, production=production, verb="waking it")
    record = _read(account, environment)
    if record is None:
        if live(account, environment) is not None:
            say(f"{environment.name} is awake.")
            return
        raise OperateError(
            f"{environment.name} is not asleep and has no endpoint: deploy it with "
            f"`make deploy ENVIRONMENT={environment.name}`"
        )
    original, copy = Address.parse(record.artifact), Address.parse(record.copy)
    manifest = found_manifest(account, copy, None)
    asset = original.is_asset(account)
    address = copy if asset or not _is_there(account, original) else original
    with tempfile.TemporaryDirectory() as folder:
        context = context_of(account, address, Path(folder), manifest, asset=asset)
        roll_out(account, environment, context, yes=yes)
    if record.notebook:
        with if_there():
            account.sagemaker.start_notebook_instance(NotebookInstanceName=environment.notebook)
    account.s3.delete_object(Bucket=_bucket(account, environment), Key=RECORD)
    say(f"{environment.name} is awake.")


def _bucket(account: Account, environment: Environment) -> str:
    return environment.bucket(account.id, account.region)


def _asleep(account: Account, environment: Environment, given: Path | None) -> tuple[Record, Manifest]:
    """Return what waking will need, or what an interrupted sleep recorded."""
    bucket = _bucket(account, environment)
    now = live(account, environment)
    served = None if now is None else now.artifact(environment)
    if served is None:
        earlier = _read(account, environment)
        if earlier is None:
            raise OperateError(
                f"the artifact that {environment.endpoint} serves is unknown: deploy the environment first"
            )
        return earlier, found_manifest(account, Address.parse(earlier.copy), None)
    address = Address.parse(served)
    manifest = found_manifest(account, address, given)
    copy = address if address.bucket == bucket else Address(bucket, f"models/{manifest['artifact']['sha256']}.tar.gz")
    return Record(str(address), str(copy), _notebook_runs(account, environment)), manifest


def _keep(account: Account, environment: Environment, record: Record, manifest: Manifest) -> None:
    """Put the artifact and its manifest into the environment's bucket, and then the record."""
    original, copy = Address.parse(record.artifact), Address.parse(record.copy)
    if not _is_there(account, copy):
        say(f"Copying     {original} to {copy}")
        account.s3.copy({"Bucket": original.bucket, "Key": original.key}, copy.bucket, copy.key)
    if manifest_beside(account, copy) is None:
        located = {**manifest, "artifact": {**manifest["artifact"], "location": str(copy)}}
        text = json.dumps(located, indent=2, ensure_ascii=False) + "\n"
        account.s3.put_object(Bucket=copy.bucket, Key=copy.manifest, Body=text.encode())
    prove_pair(account, copy, manifest)
    text = json.dumps(asdict(record), indent=2) + "\n"
    account.s3.put_object(Bucket=_bucket(account, environment), Key=RECORD, Body=text.encode())


def _rest(account: Account, environment: Environment, record: Record) -> None:
    """Remove provisioned concurrency, silence the alarm that misses traffic, and stop the notebook."""

    def unprovisioned(resources: stacks.Resources) -> None:
        stacks.without_scaling(resources)
        for resource in resources.values():
            if resource["Type"] == "AWS::Lambda::Alias":
                resource["Properties"].pop("ProvisionedConcurrencyConfig", None)

    def silent(resources: stacks.Resources) -> None:
        for resource in resources.values():
            properties = resource.get("Properties", {})
            if properties.get("AlarmName") == f"{environment.endpoint}-no-traffic":
                properties["ActionsEnabled"] = False

    for noun, change in (("Api", unprovisioned), ("Monitoring", silent)):
        if stacks.describe(account, environment.stack(noun)) is not None:
            stacks.edit(account, environment.stack(noun), change)
    _remove_provisioned(account, environment)
    if record.notebook and _notebook_runs(account, environment):
        account.sagemaker.stop_notebook_instance(NotebookInstanceName=environment.notebook)


def _remove_provisioned(account: Account, environment: Environment) -> None:
    """Delete provisioned concurrency that is left: CloudFormation leaves what autoscaling set (aws-cdk issue 31507).

    Only after the template has none: an update of an alias fails where the template's is gone (serverless issue 10897).
    """
    configs = []
    with if_there("ResourceNotFoundException", "ProvisionedConcurrencyConfigNotFoundException"):
        listed = account.functions.list_provisioned_concurrency_configs(FunctionName=environment.endpoint)
        configs = listed["ProvisionedConcurrencyConfigs"]
    for config in configs:
        qualifier = config["FunctionArn"].rsplit(":", 1)[-1]
        account.functions.delete_provisioned_concurrency_config(FunctionName=environment.endpoint, Qualifier=qualifier)


def _notebook_runs(account: Account, environment: Environment) -> bool:
    with if_there():
        answer = account.sagemaker.describe_notebook_instance(NotebookInstanceName=environment.notebook)
        return answer["NotebookInstanceStatus"] == "InService"
    return False


def _is_there(account: Account, address: Address) -> bool:
    with if_there("404", "NoSuchKey", "NoSuchBucket", "403"):
        account.s3.head_object(Bucket=address.bucket, Key=address.key)
        return True
    return False


def _read(account: Account, environment: Environment) -> Record | None:
    bucket = _bucket(account, environment)
    data = None
    with if_there("NoSuchKey", "NoSuchBucket", "404"):
        data = account.s3.get_object(Bucket=bucket, Key=RECORD)["Body"].read()
    if data is None:
        return None
    try:
        fields = json.loads(data)
        return Record(str(fields["artifact"]), str(fields["copy"]), bool(fields["notebook"]))
    except (ValueError, LookupError, TypeError):
        raise OperateError(
            f"s3://{bucket}/{RECORD}: not a valid record of a sleeping environment: delete this object, and deploy "
            f"with `make deploy ENVIRONMENT={environment.name} MODEL=s3://...`"
        ) from None
