"""One host of a training job: the folder that stands for ``/opt/ml``, and AWS's training toolkit in a process."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.container.process import ContainerProcess, inherited_environment
from local.core.account import Account, Credentials
from local.core.names import REGION, arn

BASE = "/opt/ml"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
GROUP = "homogeneousCluster"
"""The name of a job's only instance group (sagemaker-training, environment.py)."""

TOOLKIT = (
    "import signal; signal.signal(signal.SIGTERM, lambda *_: None); "
    "from sagemaker_training.cli.train import main; main()"
)
"""The container's command ``train``, deaf to SIGTERM as the first process of a container is that handles none: the
kernel spares it. The handler does nothing, and is not inherited by what the toolkit starts, as an ignored signal
would be."""

TORCHRUN = """#!/bin/sh
# The toolkit passes on the host's name, which has no address here, and one port for all jobs: the environment's
# PET_MASTER_ADDR and PET_MASTER_PORT are used instead.
rest=$#
while [ "$rest" -gt 0 ]; do
  argument=$1; shift; rest=$((rest - 1))
  case "$argument" in
    --master_addr|--master_port) shift; rest=$((rest - 1)) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec "{torchrun}" "$@"
"""


@dataclass(frozen=True)
class HostPlace:
    """A host's place among the job's hosts.

    Parameters
    ----------
    number
        Counted from 1.
    count
        How many hosts the job has.
    port
        Where the hosts of the job find each other on 127.0.0.1.
    """

    number: int
    count: int
    port: int

    @property
    def name(self) -> str:
        """The name that SageMaker gives it, ``algo-1``."""
        return f"algo-{self.number}"


class TrainingHost:
    """A host with a directory of its own.

    Parameters
    ----------
    job
        ``CreateTrainingJob``'s parameters.
    place
        Which host of the job.
    directory
        For its files.
    account
        Its address and certificate authorities are what the job calls AWS with.
    python
        Interpreter of the environment that has the toolkit.
    """

    def __init__(
        self, job: Mapping[str, Any], place: HostPlace, directory: Path, account: Account, python: Path
    ) -> None:
        self.job = job
        self.place = place
        self.directory = directory
        self.log = directory / "container.log"
        self.log_group = LOG_GROUP
        self.log_stream = f"{job['TrainingJobName']}/{place.name}-{int(time.time() * 1000)}"
        self.log_role = str(job["RoleArn"])
        self._account = account
        self._python = python
        self._process: ContainerProcess | None = None

    def path(self, container_path: str) -> Path:
        """Return where a path below ``/opt/ml`` lies on this machine."""
        return self.directory / "ml" / container_path.removeprefix(BASE).strip("/")

    @property
    def status(self) -> int | None:
        """Exit status of the container, None while it runs or has not been started."""
        return self._process.status if self._process else None

    def prepare(self) -> None:
        """Lay out ``/opt/ml``, without the data.

        Source: SageMaker guide, "How Amazon SageMaker AI Provides Training Information".
        """
        for folder in ("input/config", "input/data", "model", "output/data", "code", "checkpoints"):
            self.path(folder).mkdir(parents=True, exist_ok=True)
        channels = self.job.get("InputDataConfig", ())
        for name, content in {
            "hyperparameters": self._substitute_all(self.job.get("HyperParameters", {})),
            "inputdataconfig": {channel["ChannelName"]: _describe_channel(channel) for channel in channels},
            "resourceconfig": self._resources(),
        }.items():
            self.path(f"input/config/{name}.json").write_text(json.dumps(content))

    def start(self, credentials: Credentials) -> None:
        """Start the container's first process: the image's ``train``, or the request's own entry point."""
        programs = self.directory / "bin"
        programs.mkdir(exist_ok=True)
        torchrun = programs / "torchrun"
        torchrun.write_text(TORCHRUN.format(torchrun=self._python.with_name("torchrun")))
        torchrun.chmod(0o755)
        algorithm = self.job["AlgorithmSpecification"]
        own = [*algorithm.get("ContainerEntrypoint", ()), *algorithm.get("ContainerArguments", ())]
        command = [self._substitute(word) for word in own] or [str(self._python), "-c", TOOLKIT]
        self._process = ContainerProcess(command, self._environment(programs, credentials), self.path("code"), self.log)

    def terminate(self) -> None:
        """Send the container SIGTERM."""
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the container."""
        if self._process:
            self._process.kill()

    def clean(self) -> None:
        """Remove everything but the log."""
        shutil.rmtree(self.path(""), ignore_errors=True)

    def failure(self) -> str:
        """Return ``FailureReason`` of a container that has ended with a status other than 0.

        It is what the algorithm wrote to ``/opt/ml/output/failure``, of which the toolkit takes care (SageMaker guide,
        "Signal Algorithm Success and Failure").
        """
        file = self.path("output/failure")
        said = file.read_text(errors="replace") if file.is_file() else ""
        tail = f", exit code: {self.status}"
        return f"AlgorithmError: {said}"[: 1024 - len(tail)] + tail

    def _resources(self) -> dict[str, Any]:
        hosts = sorted(f"algo-{number}" for number in range(1, self.place.count + 1))
        kind = self.job["ResourceConfig"]["InstanceType"]
        return {
            "current_host": self.place.name,
            "current_instance_type": kind,
            "current_group_name": GROUP,
            "hosts": hosts,
            "instance_groups": [{"instance_group_name": GROUP, "instance_type": kind, "hosts": hosts}],
            "network_interface_name": "lo",
        }

    def _environment(self, programs: Path, credentials: Credentials) -> dict[str, str]:
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        name = str(self.job["TrainingJobName"])
        system = inherited_environment()
        environment = system | {
            "LANG": "C.UTF-8",
            "PATH": f"{programs}:{self._python.parent}:{system.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(self.directory),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": arn("sagemaker", f"training-job/{name}"),
            "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",  # as AWS's image sets it
            "DLC_CONTAINER_TYPE": "training",
            **self._substitute_all(self.job.get("Environment", {})),
            # What a container of its own would give: names of hosts that resolve, a port of its own.
            "SAGEMAKER_BASE_DIR": str(self.path("")),
            "SM_STUDIO_LOCAL_MODE": "true",  # the toolkit's switch that keeps it from waiting for the hosts' names
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(self.place.port),
            "GLOO_SOCKET_IFNAME": "lo",
        }
        if not self.job.get("EnableNetworkIsolation"):
            environment |= credentials.environment()
            environment |= {"AWS_ENDPOINT_URL": self._account.url, "AWS_CA_BUNDLE": self._account.ca}
        return environment

    def _substitute_all(self, values: Mapping[str, str]) -> dict[str, str]:
        return {name: self._substitute(value) for name, value in values.items()}

    def _substitute(self, value: str) -> str:
        return value.replace(BASE, str(self.path("")))


def _describe_channel(channel: Mapping[str, Any]) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    return {
        "ContentType": channel.get("ContentType", ""),
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
