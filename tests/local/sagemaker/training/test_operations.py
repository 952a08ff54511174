"""Training jobs on the embedded AWS: AWS's own toolkit runs scripts of a few lines."""

import json
import time
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from local.core.errors import ServiceError
from local.core.tags import Tags
from local.sagemaker.training.operations import TrainingJobs
from tests.embedded import Aws, eventually
from tests.local.jobs import (
    BUCKET,
    IMAGE,
    channel,
    document,
    ended,
    in_training,
    log_of,
    make_role,
    model_of,
    policy,
    request,
    statement,
)

PLAIN = {"SAGEMAKER_TRAINING_MODULE": ""}
"""The toolkit without its PyTorch part, which only costs seconds of import where a script needs no PyTorch."""

METRICS = [{"Name": "acc", "Regex": "valid_accuracy=([0-9.]+)"}, {"Name": "loss", "Regex": "loss=([0-9.]+)"}]


@pytest.fixture(scope="module")
def role(aws: Aws) -> str:
    aws.s3.create_bucket(Bucket=BUCKET)
    for name in ("a/1.txt", "a/2.txt", "b/3.txt"):
        aws.s3.put_object(Bucket=BUCKET, Key=f"data/train/{name}", Body=f"content of {name}".encode())
    return make_role(aws, "training", policy())


def run(aws: Aws, role: str, name: str, script: str, **changes: Any) -> dict[str, Any]:
    """Create a job that needs no PyTorch."""
    environment = PLAIN | changes.pop("environment", {})
    job = request(aws, role, name, script, Environment=environment, **changes)
    aws.sagemaker.create_training_job(**job)
    return job


def refusal(aws: Aws, job: dict[str, Any], client: Any = None) -> str:
    with pytest.raises(ClientError) as caught:
        (client or aws.sagemaker).create_training_job(**job)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def keys(aws: Aws, prefix: str) -> list[str]:
    return [item["Key"] for item in aws.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]


WHOLE = """
import json, os, pathlib, sys
where = lambda name: pathlib.Path(os.environ[name])
train = where("SM_CHANNEL_TRAIN")
files = sorted(str(path.relative_to(train)) for path in train.rglob("*.txt"))
assert (train / "a/1.txt").read_text() == "content of a/1.txt"
assert where("SM_MODEL_DIR").parent == train.parents[2] == where("SM_OUTPUT_DIR").parent
assert where("KENNEL_CHECKPOINTS") == train.parents[2] / "checkpoints"
print("epoch=1 loss=0.9 valid_accuracy=0.5")
print("epoch=2 loss=0.3 valid_accuracy=0.75")
seen = {name: os.environ[name] for name in ("SM_HOSTS", "SM_CURRENT_HOST", "SM_HPS", "TRAINING_JOB_NAME")}
(where("SM_MODEL_DIR") / "seen.json").write_text(json.dumps([files, sys.argv[1:], seen]))
(where("SM_OUTPUT_DATA_DIR") / "report.html").write_text("report")
"""


@pytest.fixture(scope="module")
def whole(aws: Aws, role: str) -> dict[str, Any]:
    """A job that went well, under the image's own start path."""
    job = request(
        aws,
        role,
        "whole",
        WHOLE,
        hyperparameters={"epochs": "2", "lr": "0.1"},
        algorithm={"MetricDefinitions": METRICS},
        Environment={"KENNEL_CHECKPOINTS": "/opt/ml/checkpoints"},
        Tags=[{"Key": "project", "Value": "kennel"}],
    )
    aws.sagemaker.create_training_job(**job)
    return ended(aws, "whole")


def test_a_script_finds_what_sagemaker_promises_it(aws: Aws, whole: dict[str, Any]) -> None:
    assert whole["TrainingJobStatus"] == "Completed", whole.get("FailureReason")
    files, arguments, seen = json.loads(model_of(aws, whole)["seen.json"])
    assert files == ["a/1.txt", "a/2.txt", "b/3.txt"]
    assert arguments == ["--epochs", "2", "--lr", "0.1"]
    assert seen["SM_HOSTS"] == '["algo-1"]'
    assert seen["SM_CURRENT_HOST"] == "algo-1"
    assert seen["SM_HPS"] == '{"epochs":2,"lr":0.1}'
    assert seen["TRAINING_JOB_NAME"] == "whole"
    assert "out/whole/output/output.tar.gz" in keys(aws, "out/whole/")


def test_a_job_tells_what_it_was_and_went_through(aws: Aws, whole: dict[str, Any]) -> None:
    assert whole["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert whole["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/whole/output/model.tar.gz"
    states = [transition["Status"] for transition in whole["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in transition for transition in whole["SecondaryStatusTransitions"])
    assert whole["TrainingTimeInSeconds"] == whole["BillableTimeInSeconds"] > 0
    assert whole["TrainingStartTime"] < whole["TrainingEndTime"]
    assert aws.sagemaker.list_tags(ResourceArn=whole["TrainingJobArn"])["Tags"] == [
        {"Key": "project", "Value": "kennel"}
    ]
    listed = aws.sagemaker.list_training_jobs(NameContains="whole", StatusEquals="Completed")["TrainingJobSummaries"]
    assert [job["TrainingJobArn"] for job in listed] == [whole["TrainingJobArn"]]


def test_metrics_come_from_the_log(aws: Aws, whole: dict[str, Any]) -> None:
    assert {metric["MetricName"]: metric["Value"] for metric in whole["FinalMetricDataList"]} == pytest.approx(
        {"acc": 0.75, "loss": 0.3}
    )
    found = aws.cloudwatch.get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="acc",
        Dimensions=[{"Name": "TrainingJobName", "Value": "whole"}],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Maximum", "SampleCount"],
    )["Datapoints"]
    assert max(point["Maximum"] for point in found) == 0.75
    assert sum(point["SampleCount"] for point in found) == 2


def test_the_log_is_in_cloudwatch_a_stream_for_each_host(aws: Aws, whole: dict[str, Any]) -> None:
    group = "/aws/sagemaker/TrainingJobs"
    streams = aws.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="whole/")["logStreams"]
    assert [stream["logStreamName"].rpartition("-")[0] for stream in streams] == ["whole/algo-1"]
    log = log_of(aws, "whole")
    assert "Imported framework sagemaker_pytorch_container.training" in log
    assert "epoch=2 loss=0.3 valid_accuracy=0.75" in log


RENDEZVOUS = """
import os, pathlib, torch
torch.distributed.init_process_group("gloo")
total = torch.ones(1) * (torch.distributed.get_rank() + 1)
torch.distributed.all_reduce(total)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
shard = sorted(path.name for path in pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*.txt"))
host, rank, world = (os.environ[name] for name in ("SM_CURRENT_HOST", "RANK", "WORLD_SIZE"))
line = f"{host} rank {rank} of {world}: {total.item()} {shard}"
pathlib.Path(os.environ["SM_MODEL_DIR"], f"rank{rank}").write_text(line)
"""


def test_two_hosts_meet_under_one_torchrun(aws: Aws, role: str) -> None:
    job = request(
        aws,
        role,
        "two-hosts",
        RENDEZVOUS,
        hyperparameters={"sagemaker_torch_distributed_enabled": "true"},
        InputDataConfig=[channel("train", "data/train", S3DataDistributionType="ShardedByS3Key")],
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 10},
    )
    aws.sagemaker.create_training_job(**job)
    described = ended(aws, "two-hosts", 120)
    assert described["TrainingJobStatus"] == "Completed", log_of(aws, "two-hosts")
    assert "torchrun --nnodes 2" in log_of(aws, "two-hosts")
    assert model_of(aws, described) == {
        "rank0": "algo-1 rank 0 of 2: 3.0 ['1.txt', '3.txt']",
        "rank1": "algo-2 rank 1 of 2: 3.0 ['2.txt']",
    }


def test_a_script_that_fails_fails_the_job_with_its_own_words(aws: Aws, role: str) -> None:
    aws.sagemaker.create_training_job(**request(aws, role, "broken", "raise ValueError('no such class: cat')"))
    job = ended(aws, "broken")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1")
    assert all(words in job["FailureReason"] for words in ("ValueError", "no such class: cat"))
    assert job["FailureReason"].endswith(", exit code: 1")
    assert keys(aws, "out/broken/") == []


def test_when_one_host_fails_the_other_is_ended(aws: Aws, role: str) -> None:
    script = "import os, time\nif os.environ['SM_CURRENT_HOST'] == 'algo-2': raise SystemExit(7)\ntime.sleep(100)"
    hosts = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 10}
    run(aws, role, "one-fails", script, ResourceConfig=hosts)
    job = ended(aws, "one-fails")
    assert job["TrainingJobStatus"] == "Failed"
    assert "ExitCode 7" in job["FailureReason"]


def test_a_role_that_may_not_read_the_data_fails_the_job(aws: Aws, role: str) -> None:
    blind = make_role(aws, "blind", policy("code/*"))
    run(aws, blind, "blind", "print('never')")
    job = ended(aws, "blind")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed:")
    assert "AccessDenied" in job["FailureReason"]
    assert "s3:GetObject" in job["FailureReason"]


def test_a_role_that_may_not_write_the_artifact_fails_the_job(aws: Aws, role: str) -> None:
    script = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')"
    run(aws, role, "elsewhere", script, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/forbidden"})
    job = ended(aws, "elsewhere")
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")


@pytest.mark.parametrize(("action", "status"), [("kms:Encrypt", "Completed"), ("kms:GenerateDataKey", "Failed")])
def test_a_key_for_the_output_needs_a_role_that_may_encrypt(aws: Aws, role: str, action: str, status: str) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    name = f"key-{status.lower()}"
    keyed = make_role(aws, name, [*policy(), {"Effect": "Allow", "Action": action, "Resource": key}])
    script = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')"
    run(aws, keyed, name, script, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out", "KmsKeyId": key})
    job = ended(aws, name)
    assert job["TrainingJobStatus"] == status
    assert ("kms:Encrypt" in job.get("FailureReason", "")) is (status == "Failed")


def test_a_role_that_may_neither_log_nor_publish_metrics_trains_without(aws: Aws, role: str) -> None:
    silent = make_role(aws, "silent", policy()[:4])
    entry = {"ContainerEntrypoint": ["echo", "acc=0.5"], "MetricDefinitions": [{"Name": "acc", "Regex": "acc=(.+)"}]}
    run(aws, silent, "silent", "", algorithm=entry)
    job = ended(aws, "silent")
    assert job["TrainingJobStatus"] == "Completed"
    assert [metric["Value"] for metric in job["FinalMetricDataList"]] == [0.5]
    assert log_of(aws, "silent") == ""
    dimensions = [{"Name": "TrainingJobName", "Value": "silent"}]
    assert aws.cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs", Dimensions=dimensions)["Metrics"] == []


DEAF = """
import os, signal, sys, time
def leave(*_):
    print("heard SIGTERM", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open(os.environ["SM_MODEL_DIR"] + "/so-far", "w").write("half a model")
print("ready", flush=True)
time.sleep(100)
"""


def test_the_toolkit_keeps_sigterm_to_itself_so_a_stopped_script_is_killed(aws: Aws, role: str) -> None:
    run(aws, role, "deaf", DEAF)
    in_training(aws, "deaf")
    aws.sagemaker.stop_training_job(TrainingJobName="deaf")
    job = ended(aws, "deaf")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert "heard SIGTERM" not in log_of(aws, "deaf")
    assert model_of(aws, job) == {"so-far": "half a model"}
    states = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert states[-3:] == ["Stopping", "Uploading", "Stopped"]


FORWARDING = "train & toolkit=$!; trap 'pkill -TERM -P $toolkit' TERM; wait $toolkit; wait $toolkit"


def test_an_entry_point_of_one_s_own_can_hand_sigterm_on(aws: Aws, role: str) -> None:
    algorithm = {"ContainerEntrypoint": ["bash", "-c", FORWARDING]}
    run(aws, role, "hears", DEAF, algorithm=algorithm)
    in_training(aws, "hears")
    aws.sagemaker.stop_training_job(TrainingJobName="hears")
    assert ended(aws, "hears")["TrainingJobStatus"] == "Stopped"
    assert "heard SIGTERM" in log_of(aws, "hears")


def test_a_job_that_runs_too_long_is_ended(aws: Aws, role: str) -> None:
    run(aws, role, "slow", DEAF, StoppingCondition={"MaxRuntimeInSeconds": 2})
    job = ended(aws, "slow")
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"


COUNTING = """
import os, pathlib, time
folder = pathlib.Path(os.environ["KENNEL_CHECKPOINTS"])
found = sorted(path.name for path in folder.iterdir())
print("found", found, flush=True)
number = int(found[-1]) + 1 if found else 1
(folder / str(number)).write_text("state")
if number > 2:
    (folder / str(number - 2)).unlink()
print("ready", flush=True)
if number < 3:
    time.sleep(100)
"""


def counting(aws: Aws, role: str, name: str, prefix: str, **changes: Any) -> None:
    run(
        aws,
        role,
        name,
        COUNTING,
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/{prefix}"},
        environment={"KENNEL_CHECKPOINTS": "/opt/ml/checkpoints"},
        **changes,
    )


def test_checkpoints_outlive_a_job_and_what_it_deletes_is_deleted(aws: Aws, role: str) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="checkpoints/kept/2", Body=b"state")
    aws.s3.put_object(Bucket=BUCKET, Key="checkpoints/kept/1", Body=b"state")
    counting(aws, role, "resumed", "kept")
    assert ended(aws, "resumed")["TrainingJobStatus"] == "Completed"
    assert "found ['1', '2']" in log_of(aws, "resumed")
    assert keys(aws, "checkpoints/kept/") == ["checkpoints/kept/2", "checkpoints/kept/3"]


def test_checkpoints_reach_s3_while_the_job_runs(aws: Aws, role: str) -> None:
    counting(aws, role, "syncing", "live")
    eventually(lambda: keys(aws, "checkpoints/live/") == ["checkpoints/live/1"])
    assert aws.sagemaker.describe_training_job(TrainingJobName="syncing")["TrainingJobStatus"] == "InProgress"
    aws.sagemaker.stop_training_job(TrainingJobName="syncing")
    assert ended(aws, "syncing")["TrainingJobStatus"] == "Stopped"


def test_an_interrupted_spot_job_goes_on_from_its_checkpoint(aws: Aws, role: str) -> None:
    aws.s3.put_object(Bucket=BUCKET, Key="checkpoints/spot/1", Body=b"state")
    counting(
        aws,
        role,
        "spot",
        "spot",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200},
    )
    eventually(lambda: "checkpoints/spot/2" in keys(aws, "checkpoints/spot/"))
    arn = aws.sagemaker.describe_training_job(TrainingJobName="spot")["TrainingJobArn"]
    aws.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "local:interrupt-after-seconds", "Value": "0"}])
    job = ended(aws, "spot")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    states = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert states[2:6] == ["Training", "Interrupted", "Starting", "Downloading"]
    assert keys(aws, "checkpoints/spot/") == ["checkpoints/spot/2", "checkpoints/spot/3"]


@pytest.mark.parametrize(("isolated", "status"), [(True, "Completed"), (False, "Failed")])
def test_network_isolation_withholds_credentials(aws: Aws, role: str, isolated: bool, status: str) -> None:
    name = f"isolated-{isolated}".lower()
    entry = {"ContainerEntrypoint": ["bash", "-c", 'test -z "$AWS_ACCESS_KEY_ID$AWS_ENDPOINT_URL"']}
    run(aws, role, name, "", algorithm=entry, EnableNetworkIsolation=isolated)
    job = ended(aws, name)
    assert job["TrainingJobStatus"] == status
    assert job["EnableNetworkIsolation"] is isolated
    assert job.get("FailureReason") == (None if isolated else "AlgorithmError: , exit code: 1")


# Refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"TrainingJobName": "a_b"},
            "ValidationException: 1 validation error detected: Value 'a_b' at",
        ),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "ValidationException: Could not assume role"),
        ({"InputDataConfig": [channel("train", "data/cats")]}, "ValidationException: No S3 objects found under S3 URL"),
        ({"EnableManagedSpotTraining": True}, "ValidationException: Invalid MaxWaitTimeInSeconds."),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp"}}, "keeps checkpoints below /opt/ml only"),
        ({"InputDataConfig": [channel("a", "data/train")] * 2}, "Channel names must be unique"),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"}},
            "does not simulate Pipe mode",
        ),
    ],
)
def test_a_request_that_cannot_run_is_refused(aws: Aws, role: str, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(aws, request(aws, role, "refused", "", **changes))
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        aws.sagemaker.describe_training_job(TrainingJobName="refused")


def test_without_the_toolkit_s_environment_a_request_says_what_is_missing(aws: Aws, role: str, tmp_path: Path) -> None:
    nobody, python = cast(Any, None), tmp_path / "bin" / "python"
    jobs = TrainingJobs(nobody, nobody, Tags(), tmp_path, python, 1)
    with pytest.raises(ServiceError, match="bin/python, which does not exist: create it with `make"):
        jobs.create_training_job(request(aws, role, "nowhere", ""))


def test_a_name_is_used_once(aws: Aws, role: str, whole: dict[str, Any]) -> None:
    answer = refusal(aws, request(aws, role, "whole", ""))
    assert answer.startswith("ResourceInUse: Training job names must be unique within an AWS account and region")


def test_a_job_that_has_ended_cannot_be_stopped(aws: Aws, whole: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="The request was rejected because the training job is in status Completed"):
        aws.sagemaker.stop_training_job(TrainingJobName="whole")


def user(aws: Aws, name: str, *statements: dict[str, Any]) -> Any:
    """Return a client of a user with these rights."""
    aws.iam.create_user(UserName=name)
    aws.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(list(statements)))
    key = aws.iam.create_access_key(UserName=name)["AccessKey"]
    return aws.make("sagemaker", key["AccessKeyId"], key["SecretAccessKey"])


def test_policies_decide_who_creates_which_job_and_passes_which_role(aws: Aws, role: str) -> None:
    mine = "arn:aws:sagemaker:us-east-1:123456789012:training-job/mine-*"
    create = statement(["sagemaker:CreateTrainingJob"], [mine])
    client = user(aws, "creator", create)
    assert "is not authorized to perform: iam:PassRole" in refusal(aws, request(aws, role, "mine-1", ""), client)
    client = user(aws, "passer", create, statement(["iam:PassRole"], [role]))
    assert "is not authorized to perform: sagemaker:CreateTrainingJob" in refusal(
        aws, request(aws, role, "yours-1", ""), client
    )
    job = request(aws, role, "mine-1", "", Environment=PLAIN)
    assert client.create_training_job(**job)["TrainingJobArn"].endswith("training-job/mine-1")
    assert ended(aws, "mine-1")["TrainingJobStatus"] == "Completed"
