"""Stacks of version 0.1.0 with an artifact of 0.1.0 are updated by this version, under steady requests."""

import base64
import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.autoscaling.scalable import PROVISIONED_CONCURRENCY, VARIANT
from tests import version_before
from tests.embedded import KENNEL, ROOT, Traffic
from tests.end_to_end.environment import NOUNS, Environment, copied_project, operate
from tests.end_to_end.project import Deployment, Model, synthesised

RELEASE = "38f0e99b2fbc0888e34310d45e5d0bdf4b7a205b"
"""The last commit of version 0.1.0 (CHANGELOG.md): its stacks are what users have deployed."""

NEEDED = {
    # CHANGELOG.md, "Added": what is captured has no default.
    "capture_percentage = 10\n": 'capture_percentage = 10\ncapture = "answers"\n',
}
"""What a user must change in settings of 0.1.0 before this version synthesises with them."""

SCALED = (VARIANT, PROVISIONED_CONCURRENCY)
"""What 0.1.0 scales only in an account that has the service-linked role already (CHANGELOG.md, "Changed")."""


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release's project, as `git archive` exports it, with today's launcher and packages."""
    folder = tmp_path_factory.mktemp("release")
    if git("cat-file", "-e", f"{RELEASE}^{{commit}}").returncode:
        reason = f"commit {RELEASE[:7]} is not in this checkout's history; `git fetch --unshallow` fetches it"
        if os.environ.get("CI") == "true" and git("rev-parse", "--is-shallow-repository").stdout.strip() != b"true":
            pytest.fail(reason)
        pytest.skip(reason)
    exported = git("archive", RELEASE)
    subprocess.run(["tar", "-x"], input=exported.stdout, cwd=folder, check=True)
    shutil.copy(KENNEL, folder)
    for name in (".venv", "node_modules"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def make_service_linked_roles(aws: Deployment) -> None:
    """Make them as the embedded AWS does itself: its CreateServiceLinkedRole gives them other names than AWS."""
    for kind in SCALED:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": kind.service}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        with contextlib.suppress(aws.iam.exceptions.EntityAlreadyExistsException):
            path = f"/aws-service-role/{kind.service}/"
            aws.iam.create_role(RoleName=kind.role_name, Path=path, AssumeRolePolicyDocument=policy)


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


@pytest.fixture(params=["dev", "prod"])
def released(
    request: pytest.FixtureRequest, release: Path, bootstrapped: Deployment, first: Model, tmp_path: Path
) -> Iterator[Environment]:
    """The release's stacks, deployed with its own settings under another name and with an artifact that it packed.

    The environment is that of this version's project, with the settings that the release's user would have.
    """
    name = f"released-{request.param}"
    settings = (release / "settings" / f"{request.param}.toml").read_text()
    for kept in ("termination_protection", "retain"):  # nothing is kept after the test
        settings = settings.replace(f"\n{kept} = true", f"\n{kept} = false")
    (release / "settings" / f"{name}.toml").write_text(settings)
    build = version_before.write_build(first.folder, tmp_path / "artifact")
    model = synthesised(build, tmp_path / "cdk.out", environment=name, project=release)
    (tmp_path / "project").mkdir()
    project = copied_project(tmp_path / "project")
    for old, new in NEEDED.items():
        settings = settings.replace(old, new)
    (project / "settings" / f"{name}.toml").write_text(settings)
    environment = Environment(dataclasses.replace(bootstrapped, settings=name), project, model)
    make_service_linked_roles(bootstrapped)
    environment.aws.roll_out(model)
    yield environment
    operate(environment, "destroy")


def identities(environment: Environment) -> dict[str, Any]:
    """Return what must stay: each stack, what callers and data depend on, and how many instances run."""
    aws = environment.aws
    endpoint = aws.sagemaker.describe_endpoint(EndpointName=aws.name)
    described = {noun: aws.cloudformation.describe_stacks(StackName=aws.stack(noun))["Stacks"][0] for noun in NOUNS}
    return {
        **{noun: stack["StackId"] for noun, stack in described.items()},
        "endpoint": (endpoint["EndpointArn"], endpoint["CreationTime"]),
        "instances": endpoint["ProductionVariants"][0]["CurrentInstanceCount"],
        "bucket": aws.s3.get_object(Bucket=bucket(environment), Key="data/kept")["Body"].read(),
        "url": aws.make("lambda").get_function_url_config(FunctionName=aws.name, Qualifier="live")["FunctionUrl"],
        "topic": aws.resource("Monitoring", "AWS::SNS::Topic"),
    }


def bucket(environment: Environment) -> str:
    return f"{environment.aws.name}-123456789012-us-east-1"


def asker(photos: list[Path], ask: Callable[[Path], dict[str, Any]]) -> Callable[[], tuple[str, dict[str, Any]]]:
    """Return a function that asks for one photo after the other, and returns its class with the answer."""
    turn = itertools.cycle(photos)

    def send() -> tuple[str, dict[str, Any]]:
        photo = next(turn)
        return photo.parent.name, ask(photo)

    return send


@pytest.mark.accept
@pytest.mark.timeout(1800)  # a deployment of the release and three of this version, on a busy machine
def test_stacks_of_the_release_are_updated_in_place_without_a_failed_request(
    released: Environment, first: Model, photos: Path
) -> None:
    aws, old = released.aws, released.model.sha256
    aws.s3.put_object(Bucket=bucket(released), Key="data/kept", Body=b"kept")
    before, config = identities(released), released.endpoint()["config"]
    chosen = sorted((photos / "test").glob("*/*.png"))[::36]

    def through_the_function(photo: Path) -> dict[str, Any]:
        return aws.predict({"image": base64.b64encode(photo.read_bytes()).decode()})

    deploy = ("deploy", "--manifest", first.folder / "model.json")
    with (
        Traffic(asker(chosen, through_the_function), pause=0.3) as function,
        Traffic(asker(chosen, aws.ask_endpoint), pause=0.3) as endpoint,
    ):
        printed = operate(released, *deploy)
    assert function.failures == endpoint.failures == []
    assert {answer["statusCode"] for _, answer in function.answers} == {200}
    answers = [(label, answer["body"]) for label, answer in function.answers] + endpoint.answers
    assert [(label, answer["predictions"][0]["label"]) for label, answer in answers] == [(x, x) for x, _ in answers]
    for each in ([answer["body"] for _, answer in function.answers], [answer for _, answer in endpoint.answers]):
        assert each[0]["artifact_sha256"] == old
        assert each[-1]["artifact_sha256"] == first.sha256
        assert {answer["artifact_sha256"] for answer in each} == {old, first.sha256}
    assert printed.splitlines()[-1].startswith(f"{aws.name} serves {first.sha256[:12]}")
    assert released.endpoint()["config"] != config
    assert identities(released) == before
    updated = released.endpoint()
    # The next deployment may remove the policy that let the role read the artifact of before, and nothing else.
    again = operate(released, *deploy)
    assert [noun for noun in NOUNS if f"{aws.stack(noun)} (no changes)" not in again] == ["Endpoint"]
    assert released.endpoint() == updated
    last = operate(released, *deploy)
    assert [noun for noun in NOUNS if f"{aws.stack(noun)} (no changes)" not in last] == []
