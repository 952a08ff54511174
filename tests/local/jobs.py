"""Training jobs of scripts of a few lines, for the tests of the embedded AWS."""

import io
import json
import tarfile
from typing import Any

from tests.embedded import Aws, eventually

BUCKET = "training-jobs"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker"
PREFIXES = ("data/*", "code/*", "out/*", "checkpoints/*")


def statement(actions: list[str], resources: list[str], **condition: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return made | ({"Condition": condition} if condition else {})


def policy(*readable: str) -> list[dict[str, Any]]:
    """Return what TrainingStack lets its role do, to prefixes of the bucket."""
    bucket = f"arn:aws:s3:::{BUCKET}"
    namespace = {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
    return [
        statement(["s3:ListBucket"], [bucket], StringLike={"s3:prefix": list(PREFIXES)}),
        statement(["s3:GetObject"], [f"{bucket}/{prefix}" for prefix in readable or PREFIXES]),
        statement(["s3:PutObject"], [f"{bucket}/out/*", f"{bucket}/checkpoints/*"]),
        statement(["s3:DeleteObject"], [f"{bucket}/checkpoints/*"]),
        statement(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], ["*"]),
        statement(["cloudwatch:PutMetricData"], ["*"], StringEquals=namespace),
    ]


def make_role(aws: Aws, name: str, statements: list[dict[str, Any]], service: str = "sagemaker") -> str:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
    role = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document([trust]))["Role"]
    aws.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(statements))
    return str(role["Arn"])


def document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def upload_script(aws: Aws, name: str, text: str) -> str:
    """Upload a sourcedir.tar.gz with one script, ``train.py``; return its address."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("train.py")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    aws.s3.put_object(Bucket=BUCKET, Key=f"code/{name}/sourcedir.tar.gz", Body=buffer.getvalue())
    return f"s3://{BUCKET}/code/{name}/sourcedir.tar.gz"


def request(aws: Aws, role: str, name: str, script: str, **changes: Any) -> dict[str, Any]:
    """Return CreateTrainingJob's parameters for a script; `hyperparameters` and `environment` are added to it."""
    hyperparameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": upload_script(aws, name, script)}
    hyperparameters |= changes.pop("hyperparameters", {})
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": "File", **changes.pop("algorithm", {})}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": algorithm,
        "RoleArn": role,
        "HyperParameters": hyperparameters,
        "InputDataConfig": [channel("train", "data/train")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        **changes,
    }


def channel(name: str, prefix: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}", **changes}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def ended(aws: Aws, name: str, seconds: float = 60) -> dict[str, Any]:
    """Wait until a job has ended and return its description."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = aws.sagemaker.describe_training_job(TrainingJobName=name)
        return None if job["TrainingJobStatus"] in ("InProgress", "Stopping") else job

    job: dict[str, Any] = eventually(look, seconds)
    return job


def in_training(aws: Aws, name: str) -> None:
    """Wait until a job's script has printed ``ready``."""
    eventually(lambda: "ready" in log_of(aws, name), 60)


def log_of(aws: Aws, job: str) -> str:
    """Return what a job's hosts have printed."""
    group = "/aws/sagemaker/TrainingJobs"
    if not aws.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return ""
    streams = aws.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    events = [
        event
        for stream in streams
        for event in aws.logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]
    return "\n".join(event["message"] for event in events)


def model_of(aws: Aws, job: dict[str, Any]) -> dict[str, str]:
    """Return the files of a job's artifact."""
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    archive = io.BytesIO(aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    with tarfile.open(fileobj=archive) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file}
