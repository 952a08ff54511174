"""An embedded AWS for the session, with artifacts of a stand-in model: these tests need no trained one."""

from collections.abc import Iterator

import pytest

from tests.embedded import Aws, environment_of, free_port, run_local
from tests.local.harness import MINUTE, artifact


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An embedded AWS of the session's own, whose autoscaling minute lasts half a second."""
    state = tmp_path_factory.mktemp("embedded") / "state"
    scale = str(60 / MINUTE)
    up = run_local("up", "--state", state, "--port", str(free_port()), "--time-scale", scale)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        yield Aws(environment_of(state))
    finally:
        run_local("down", "--state", state)


@pytest.fixture(scope="session")
def artifacts(aws: Aws) -> str:
    """A bucket with the artifacts that `harness.artifact` makes, and ``damaged``."""
    aws.s3.create_bucket(Bucket="artifacts")
    for name in ("one", "two", "failing", "refusing", "slow", "broken"):
        aws.s3.put_object(Bucket="artifacts", Key=f"{name}.tar.gz", Body=artifact(name))
    aws.s3.put_object(Bucket="artifacts", Key="damaged.tar.gz", Body=artifact("one")[:200])
    return "artifacts"
