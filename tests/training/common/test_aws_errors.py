"""What AWS refuses, in one line."""

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)

from training.common.aws_errors import explained
from training.common.errors import TrainingError


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no\n way {}"}}, "GetObject")


TEXT = "An error occurred ({}) when calling the GetObject operation: no way {{}}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NoCredentialsError(), "no usable AWS credentials; run `aws configure`, or set AWS_PROFILE"),
        (
            PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "no usable AWS credentials (Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY); run `aws "
            "configure`, or set AWS_PROFILE",
        ),
        (
            ProfileNotFound(profile="dogs"),
            "The config profile (dogs) could not be found; set AWS_PROFILE to one that `aws configure list-profiles` "
            "shows",
        ),
        (ReadTimeoutError(endpoint_url="http://x"), 'Read timeout on endpoint URL: "http://x"'),
        (
            refusal("RequestExpired"),
            f"the AWS credentials have expired; sign in again ({TEXT.format('RequestExpired')})",
        ),
        (refusal("Unheard"), TEXT.format("Unheard")),
    ],
)
def test_an_error_is_a_line_that_says_what_to_do(error: BotoCoreError | ClientError, line: str) -> None:
    with pytest.raises(TrainingError) as raised, explained():
        raise error
    assert str(raised.value) == line


def test_a_caller_names_the_place_and_knows_some_codes_better() -> None:
    for code, line in {"NoSuchKey": "gone {key}", "Unheard": TEXT.format("Unheard")}.items():
        with pytest.raises(TrainingError) as raised, explained("s3://photos/{a}", {"NoSuchKey": "gone {key}"}):
            raise refusal(code)
        assert str(raised.value) == f"s3://photos/{{a}}: {line}"
