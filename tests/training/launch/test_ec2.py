"""EC2 instances: what is asked for, what their states mean, and what they do for themselves."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from tests.training.launch.fakes import BUCKET, SITE, TAGS, FakeS3, aws_with, error, job_spec
from training.common.aws import Aws
from training.common.aws_errors import explained
from training.common.errors import TrainingError
from training.launch.ec2 import Instance, user_data
from training.launch.remote import mirror, on_instance, spot
from training.launch.remote.log_writer import LogWriter

ROOT = Path(__file__).parents[3]
RUN = "kennel-dev-261121-120000-abcd"
DESCRIBED = {"InstanceIds": ["i-1"]}
Boot = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def stub() -> Iterator[tuple[Instance, Stubber, FakeS3]]:
    client, s3 = boto3.client("ec2"), FakeS3()
    with Stubber(client) as stub:
        yield Instance(aws_with(ec2=client, s3=s3), SITE, RUN), stub, s3


def started(stub: Stubber, s3: FakeS3, instance: str = "i-1", **expected: Any) -> None:
    """Let one instance start, if it is asked for with these parameters."""
    fixed = dict.fromkeys(
        ("MinCount", "MaxCount", "UserData", "TagSpecifications", "ClientToken", "LaunchTemplate"), ANY
    )
    stub.add_response("run_instances", {"Instances": [{"InstanceId": instance}]}, fixed | expected)
    described(stub, "pending", instance)


def described(stub: Stubber, state: str, instance: str = "i-1", why: str = "") -> None:
    found: Any = {"InstanceId": instance, "State": {"Name": state}, "StateReason": {"Code": why}}
    stub.add_response("describe_instances", {"Reservations": [{"Instances": [found]}]}, {"InstanceIds": [instance]})


def says(s3: FakeS3, state: str, attempt: int = 1, **more: str) -> None:
    said = {"state": state, "detail": f"{state} it", "attempt": attempt} | more
    s3.objects[f"training/runs/{RUN}/status.json"] = json.dumps(said).encode()


def test_an_instance_is_started_from_the_template(stub: tuple[Instance, Stubber, FakeS3]) -> None:
    run, stubber, s3 = stub
    template = {"LaunchTemplateId": SITE.template, "Version": "$Latest"}
    once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    started(
        stubber,
        s3,
        LaunchTemplate=template,
        ClientToken=f"{RUN}-1",
        InstanceType="g5.xlarge",
        InstanceMarketOptions={"MarketType": "spot", "SpotOptions": once},
    )
    Instance.start(run.aws, job_spec(instance_type="g5.xlarge", spot=True, options={"epochs": "3"}))
    left = json.loads(s3.objects[f"training/runs/{RUN}/order.json"])
    assert left["instance"] == "i-1"
    assert left["options"] == {"epochs": "3"}
    assert left["checkpoints"] == SITE.uri(f"training/checkpoints/{RUN}/")


def kinds_tagged(request: dict[str, Any]) -> list[str]:
    return [each["ResourceType"] for each in request["TagSpecifications"]]


@pytest.mark.parametrize(
    ("asked", "of_template", "spot_is_tagged"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_all_that_an_instance_brings_along_has_the_tags_of_the_stack(
    asked: bool, of_template: bool, spot_is_tagged: bool
) -> None:
    client = RecordedEc2()
    site = replace(SITE, spot=of_template, tags={**SITE.tags, "Name": "ours"})
    Instance.start(aws_with(ec2=client, s3=FakeS3()), job_spec(site=site, spot=asked))
    (request,) = client.requests
    spot = ["spot-instances-request"] if spot_is_tagged else []
    assert kinds_tagged(request) == ["instance", "volume", "network-interface", *spot]
    for each in request["TagSpecifications"]:
        assert each["Tags"] == [*TAGS, {"Key": "Name", "Value": RUN}], "one name, the run's"


class RecordedEc2:
    """Starts instances, except where ``refusals`` says why not."""

    def __init__(self, refusals: dict[str, str] | None = None) -> None:
        self.refusals = refusals or {}
        self.requests: list[dict[str, Any]] = []

    def run_instances(self, **request: Any) -> Any:
        self.requests.append(request)
        if code := self.refusals.get(request.get("SubnetId", "")):
            raise error(code)
        return {"Instances": [{"InstanceId": "i-1"}]}

    def get_waiter(self, _: str) -> Any:
        return type("Waiter", (), {"wait": lambda *_, **__: None})()


def test_without_a_network_of_the_settings_ec2_chooses_the_subnet() -> None:
    client = RecordedEc2()
    Instance.start(aws_with(ec2=client, s3=FakeS3()), job_spec())
    assert "SubnetId" not in client.requests[0]


@pytest.mark.parametrize(
    "code",
    ["InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "SpotMaxPriceTooLow", "Unsupported"],
)
def test_an_instance_starts_in_the_first_subnet_of_the_settings_that_can_have_it(code: str) -> None:
    client, s3 = RecordedEc2({"subnet-1": code}), FakeS3()
    site = replace(SITE, subnets=("subnet-1", "subnet-2", "subnet-3"), security_groups=("sg-1",))
    Instance.start(aws_with(ec2=client, s3=s3), job_spec(site=site))
    assert [request["SubnetId"] for request in client.requests] == ["subnet-1", "subnet-2"]
    tokens = [request["ClientToken"] for request in client.requests]
    assert tokens == [f"{RUN}-1", f"{RUN}-1-2"], "EC2 refuses a token with another request"
    assert max(map(len, tokens)) <= 64
    assert "SecurityGroupIds" not in client.requests[0], "the template's own"
    assert json.loads(s3.objects[f"training/runs/{RUN}/order.json"])["instance"] == "i-1"


def test_what_no_other_subnet_can_help_is_told_at_once() -> None:
    site = replace(SITE, subnets=("subnet-1", "subnet-2"))
    client = RecordedEc2({"subnet-1": "UnauthorizedOperation"})
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        Instance.start(aws_with(ec2=client, s3=FakeS3()), job_spec(site=site))
    assert len(client.requests) == 1


def test_no_capacity_in_any_subnet_is_told() -> None:
    site = replace(SITE, subnets=("subnet-1", "subnet-2"))
    client = RecordedEc2(dict.fromkeys(site.subnets, "InsufficientInstanceCapacity"))
    with explained_as(r"try again later, without --spot, or with another --instance-type"):
        Instance.start(aws_with(ec2=client, s3=FakeS3()), job_spec(site=site))


@contextlib.contextmanager
def explained_as(line: str) -> Iterator[None]:
    with pytest.raises(TrainingError, match=line) as caught, explained():
        yield
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            r"`aws iam create-service-linked-role --aws-service-name spot\.amazonaws\.com`",
        ),
        ("VPCIdNotSpecified", r"set vpc_id, subnet_ids and security_group_ids in \[training\.network\]"),
    ],
)
def test_what_an_account_lacks_is_told_with_what_to_do(code: str, line: str) -> None:
    with explained_as(line):
        Instance.start(aws_with(ec2=RecordedEc2({"": code}), s3=FakeS3()), job_spec())


def test_settings_without_a_template_are_told() -> None:
    site = replace(SITE, template=None)
    with pytest.raises(TrainingError, match=r"set training\.instance\.enabled = true in settings/dev\.toml"):
        Instance.start(aws_with(), job_spec(site=site))


@pytest.fixture
def boot(stub: tuple[Instance, Stubber, FakeS3], tmp_path: Path) -> Iterator[Boot]:
    """Run the user data, with a stand-in for Python, where of all programs only a few are there."""
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    script = tmp_path / "user-data"
    script.write_text(user_data(SITE, run._spec()))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sleep", "mktemp"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    begun = list[subprocess.Popen[bytes]]()

    def begin(python: str) -> subprocess.Popen[bytes]:
        for name, text in {"shutdown": f"echo $* >> {tmp_path}/ended", "python": python, "tar": ""}.items():
            (programs / name).write_text(f"#!/usr/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        environment = {"PATH": str(programs), "TMPDIR": str(tmp_path)}
        command = ["/usr/bin/bash", str(script)]
        begun.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True))
        return begun[0]

    yield begin
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # the guard against a training that never ends sleeps on


def test_the_user_data_is_a_script_that_ends_the_instance_whatever_happens(boot: Boot, tmp_path: Path) -> None:
    done = boot("exit 1")
    assert done.wait(20) != 0
    assert (tmp_path / "ended").read_text() == "-h now\n"
    script = (tmp_path / "user-data").read_text()
    assert "$" + "{" not in script.replace("${TMPDIR", "")
    assert BUCKET in script


def test_an_instance_that_somebody_terminates_gives_the_training_the_time_for_its_checkpoint(
    boot: Boot, tmp_path: Path
) -> None:
    """As systemd does it: SIGTERM for every process, the shell that runs the user data among them."""
    kept = tmp_path / "kept"
    trains = f"trap 'sleep 0.5; echo 1 > {kept}; exit 143' TERM; : > {tmp_path}/begun; while :; do sleep 0.05; done"
    done = boot(f'if [[ "$*" == *on_instance* ]]; then {trains}; fi')
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(done.pid, signal.SIGTERM)
    assert done.wait(20) != 0
    assert kept.exists()
    assert (tmp_path / "ended").read_text().splitlines()[-1] == "-h now"


def test_only_what_runs_is_terminated(stub: tuple[Instance, Stubber, FakeS3]) -> None:
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    described(stubber, "running")
    stubber.add_response("terminate_instances", {}, DESCRIBED)
    assert run.stop()
    says(s3, "stopped")
    assert not run.stop()


@pytest.mark.parametrize(
    ("state", "why", "expected"),
    [
        ("running", "", "running"),
        ("shutting-down", "", "running"),
        ("terminated", "Client.InstanceInitiatedShutdown", "failed"),
        ("terminated", "Client.UserInitiatedShutdown", "stopped"),
        ("terminated", "Server.SpotInstanceTermination", "interrupted"),
        ("terminated", "Server.SpotInstanceShutdown", "interrupted"),
    ],
)
def test_an_instance_that_says_nothing_is_judged_by_its_state(
    stub: tuple[Instance, Stubber, FakeS3], state: str, why: str, expected: str
) -> None:
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    described(stubber, state, why=why)
    assert run.status().state == expected


def test_what_an_instance_says_last_counts(stub: tuple[Instance, Stubber, FakeS3]) -> None:
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    says(s3, "failed", reason="valid is missing")
    assert (run.status().state, run.status().reason) == ("failed", "valid is missing")


def test_another_instance_takes_the_place_of_one_that_was_taken_away(stub: tuple[Instance, Stubber, FakeS3]) -> None:
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    says(s3, "interrupted")
    assert run.status().state == "interrupted"
    started(stubber, s3, "i-2", ClientToken=f"{RUN}-2")
    assert run.restart()
    described(stubber, "running", "i-2")
    status = run.status()
    assert (status.state, status.detail) == ("running", "i-2: instance running"), "what the first one said is over"


def test_an_instance_that_could_not_be_started_again_can_be_tried_again(
    stub: tuple[Instance, Stubber, FakeS3],
) -> None:
    run, stubber, s3 = stub
    started(stubber, s3)
    Instance.start(run.aws, job_spec())
    says(s3, "interrupted")
    stubber.add_client_error("run_instances", "InsufficientInstanceCapacity")
    with pytest.raises(Exception, match="InsufficientInstanceCapacity"):
        run.restart()
    assert run.status().state == "interrupted"


def test_a_folder_of_the_bucket_comes_whole_and_stays_inside(tmp_path: Path) -> None:
    s3: Any = FakeS3({"data/x/train/cat/1.jpg": b"1", "data/x/": b"", "data/xy/2.jpg": b"2"})
    assert mirror.fetch(aws_with(s3=s3), SITE.uri("data/x/"), tmp_path / "data") == 1
    assert (tmp_path / "data/train/cat/1.jpg").read_bytes() == b"1"
    s3.objects["data/x/../../evil"] = b"3"
    with pytest.raises(TrainingError, match="cannot be a file of a folder"):
        mirror.fetch(aws_with(s3=s3), SITE.uri("data/x/"), tmp_path / "data")


def test_the_prefix_of_the_checkpoints_holds_what_the_folder_does(tmp_path: Path) -> None:
    s3: Any = FakeS3({"training/checkpoints/run/checkpoint-1": b"1", "training/checkpoints/run/checkpoint-2": b"2"})
    for name in ("checkpoint-2", "checkpoint-3", ".checkpoint-9.incomplete"):
        (tmp_path / name).write_text(name)
    mirror.push(aws_with(s3=s3), tmp_path, SITE.uri("training/checkpoints/run/"))
    assert sorted(key.rpartition("/")[2] for key in s3.objects) == ["checkpoint-2", "checkpoint-3"]
    assert s3.calls == [
        ("put", "training/checkpoints/run/checkpoint-3"),
        ("delete", "training/checkpoints/run/checkpoint-1"),
    ]


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A metadata service, version 2, that has the items of the dictionary."""
    items: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_PUT(self) -> None:
            self.answer(200 if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, "token")

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != "token":
                self.answer(401, "")
            elif self.path in items:
                self.answer(200, items[self.path])
            else:
                self.answer(404, "")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody answers there, and nobody should be asked there
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # kept from the first request of the process
    yield items
    server.shutdown()
    server.server_close()


def test_the_notice_of_a_spot_instance_is_seen(metadata: dict[str, str]) -> None:
    assert not spot.is_to_go()
    metadata["/latest/meta-data/spot/instance-action"] = '{"action": "terminate", "time": "2026-11-21T12:00:00Z"}'
    assert spot.is_to_go()


class Logs:
    """Takes what is printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def create_log_stream(self, **_: str) -> None:
        pass

    def put_log_events(self, *, logEvents: list[dict[str, Any]], **_: str) -> None:  # noqa: N803
        self.lines += [event["message"] for event in logEvents]


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    class Denied(Logs):
        def put_log_events(self, **_: Any) -> None:
            raise error("AccessDeniedException")

    logs: Any = Denied()
    with LogWriter(logs, "group", "stream") as log:
        log.write("epoch=1")


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[on_instance.Attempt, FakeS3, Logs]:
    """An instance's part of a run, in which a stand-in trains: ``fit`` ends as ``script`` in its options says."""
    s3, logs = FakeS3(), Logs()
    for split in ("train", "valid", "test"):
        s3.objects[f"data/dogs/{split}/cat/1.jpg"] = b"photo"
    left: dict[str, Any] = {
        "name": RUN,
        "photos": SITE.uri("data/dogs/"),
        "options": {},
        "weights": None,
        "runs": SITE.uri("training/runs/"),
        "models": SITE.uri("models/"),
        "checkpoints": SITE.uri(f"training/checkpoints/{RUN}/"),
        "log_group": "group",
        "hours": 1.0,
        "attempt": 1,
    }
    s3.objects[f"training/runs/{RUN}/order.json"] = json.dumps(left).encode()
    monkeypatch.setattr(Aws, "s3", s3)
    monkeypatch.setattr(Aws, "logs", logs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_instance.Attempt, "_install", lambda _: 0)
    return on_instance.Attempt(BUCKET, RUN), s3, logs


def test_an_instance_needs_boto3_alone_before_it_has_installed_the_rest() -> None:
    lacking = "import sys; sys.modules.update(dict.fromkeys(('rich', 'numpy', 'PIL', 'torch')))"
    program = f"{lacking}; import training.launch.remote.on_instance"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def trains(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(on_instance.Attempt, "_command", lambda _: ["bash", "-c", script])


def status(s3: FakeS3) -> dict[str, Any]:
    return dict(json.loads(s3.objects[f"training/runs/{RUN}/status.json"]))


MODEL = """
mkdir out; for each in model.tar.gz model.safetensors report.html; do echo $each > out/$each; done
echo '{"artifact": {}, "metrics": {"test": {"accuracy": 0.9}, "validation": {"accuracy": 0.8}}}' > out/model.json
"""


def test_an_instance_trains_and_delivers(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, logs = attempt
    trains(monkeypatch, MODEL + "echo epoch=1; ls data/train/cat")
    assert run.run() == 0
    assert status(s3)["state"] == "completed"
    assert logs.lines[-2:] == ["epoch=1", "1.jpg"]
    home = json.loads(s3.objects[f"training/runs/{RUN}/model.json"])
    assert s3.objects[home["artifact"]["location"].removeprefix(f"s3://{BUCKET}/")] == b"model.tar.gz\n"
    for name in ("report.html", "model.safetensors"):
        assert s3.objects[f"training/runs/{RUN}/{name}"] == f"{name}\n".encode(), "the instance's disk is gone by then"


def test_a_training_that_fails_says_why_in_its_own_words(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, _ = attempt
    trains(monkeypatch, "echo 'kennel: valid is missing' >&2; echo torchrun says more; exit 2")
    assert run.run() == 1
    assert (status(s3)["state"], status(s3)["reason"]) == ("failed", "valid is missing")


def test_a_bug_is_said_too(attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch) -> None:
    run, s3, _ = attempt
    trains(monkeypatch, "true")  # there is nothing to deliver
    assert run.run() == 1
    assert status(s3)["state"] == "failed"
    assert "FileNotFoundError" in status(s3)["reason"]


def test_the_notice_ends_the_training_and_keeps_its_checkpoint(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch, metadata: dict[str, str]
) -> None:
    run, s3, _ = attempt
    monkeypatch.setattr(spot, "SECONDS", 0.05)
    trains(
        monkeypatch, "trap 'echo 1 > checkpoints/checkpoint-1; exit 143' TERM; echo ready; while :; do sleep 0.05; done"
    )
    metadata["/latest/meta-data/spot/instance-action"] = "{}"
    assert run.run() == 1
    assert status(s3)["state"] == "interrupted"
    assert f"training/checkpoints/{RUN}/checkpoint-1" in s3.objects


def test_sigterm_ends_the_training_and_keeps_its_checkpoint(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, _ = attempt
    script = f"trap 'echo 1 > checkpoints/checkpoint-1; exit 143' TERM; kill -TERM {os.getpid()}; "
    trains(monkeypatch, script + "while :; do sleep 0.05; done")
    assert run.run() == 1
    assert status(s3)["state"] == "stopped"
    assert f"training/checkpoints/{RUN}/checkpoint-1" in s3.objects


def test_packages_that_cannot_be_had_end_it(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, _ = attempt
    script = "echo ERROR: no matching distribution; exit 1"
    monkeypatch.setattr(on_instance.Attempt, "_install", lambda self: self._execute(["bash", "-c", script]))
    assert run.run() == 1
    assert status(s3)["reason"] == "pip could not install requirements.txt: ERROR: no matching distribution"


def test_another_attempt_finds_the_checkpoint(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, logs = attempt
    s3.objects[f"training/checkpoints/{RUN}/checkpoint-1"] = b"weights"
    trains(monkeypatch, MODEL + "cat checkpoints/checkpoint-1")
    assert run.run() == 0
    assert logs.lines[-1] == "weights"


def test_a_training_that_takes_too_long_is_ended(
    attempt: tuple[on_instance.Attempt, FakeS3, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, s3, _ = attempt
    run.spec["hours"] = 0
    monkeypatch.setattr(spot, "SECONDS", 0.05)
    trains(monkeypatch, "while :; do sleep 0.05; done")
    begun = time.monotonic()
    assert run.run() == 1
    assert time.monotonic() - begun < 20
    assert "give it more --hours" in status(s3)["reason"]
