"""The process behind the embedded AWS: ministack, our services in it, and one port.

Run by `daemon`, which sets the environment that ministack reads when it is imported.
"""

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app
from ministack.core import tls

from local.autoscaling.loop import Autoscaler
from local.autoscaling.scalable import ScalableTargets
from local.autoscaling.service import ApplicationAutoScaling
from local.autoscaling.target_tracking import POINT_SECONDS
from local.container.logs import ContainerLogs
from local.core.account import Account, Credentials
from local.core.clock import ScaledClock
from local.core.names import ACCOUNT, REGION
from local.core.tags import Tags
from local.ec2 import image, network
from local.ec2.service import Ec2Instances
from local.host import cloudformation, hooks
from local.host.state import Running, State, write_atomically
from local.ministack import budget, iam, lambda_, log_patterns, notifications, properties, s3, schedules
from local.ministack.alarms import AlarmEvaluation
from local.sagemaker.capture import DataCapture
from local.sagemaker.endpoint.blue_green import BlueGreen
from local.sagemaker.endpoint.rollback_alarms import RollbackAlarms
from local.sagemaker.invocation_metrics import InvocationMetrics
from local.sagemaker.runtime import SageMakerRuntime
from local.sagemaker.service import SageMaker
from local.sagemaker.training.operations import TrainingJobs
from local.sagemaker.tuning.operations import TuningJobs

PUBLISH_SECONDS = 1.0
"""How often metrics are published: each minute of the scaled clock, as SageMaker does, and not seldomer than this."""

GRACE_SECONDS = 1.0
"""How long requests in progress may take to finish once the gateway has been told to stop."""

ALREADY_RUNNING = 75
"""Exit status when another gateway holds the state directory."""


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--time-scale", type=float, required=True)
    parser.add_argument("--roots", type=Path, required=True)
    parser.add_argument("--training-python", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    state = State(arguments.state)
    lock = state.hold()
    if lock is None:
        sys.exit(ALREADY_RUNNING)
    watchdog = _start_watchdog()
    certificate, key = tls.resolve_tls_material()
    # For everything that calls the gateway: whom this machine trusts, and the gateway's own certificate.
    write_atomically(state.ca, arguments.roots.read_bytes() + b"\n" + Path(certificate).read_bytes())
    url = f"https://127.0.0.1:{arguments.port}"
    root = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    account = Account(url, root, str(state.ca))
    _start_services(account, state, arguments.time_scale, arguments.training_python)
    running = Running(
        pid=os.getpid(),
        url=url,
        account=ACCOUNT,
        region=REGION,
        access_key=root.access_key,
        secret_key=root.secret_key,
        ca=str(state.ca),
        time_scale=arguments.time_scale,
        started=time.time(),
    )
    config = Config()
    config.bind = [f"127.0.0.1:{arguments.port}"]
    config.certfile, config.keyfile = certificate, key
    config.keep_alive_timeout = 75
    config.graceful_timeout = GRACE_SECONDS
    asyncio.run(_serve(config, state, running))
    watchdog.kill()
    lock.close()


def _start_watchdog() -> subprocess.Popen[bytes]:
    """Start the process that ends the group when the pipe to it closes; keep what is returned for that long."""
    return subprocess.Popen([sys.executable, "-m", "local.host.watchdog"], stdin=subprocess.PIPE)


def _start_services(account: Account, state: State, time_scale: float, training_python: Path) -> None:
    """Register our services with ministack and start their background threads, which end with the process."""
    stop = threading.Event()
    metrics, logs, capture = InvocationMetrics(), ContainerLogs(account), DataCapture(account)
    clock = ScaledClock(time_scale)
    alarms, targets, tags = AlarmEvaluation(), ScalableTargets(), Tags()
    updates = BlueGreen(clock, RollbackAlarms(account, alarms, time_scale))
    jobs = TrainingJobs(account, logs, tags, state.temporary / "training", training_python, time_scale)
    sagemaker = SageMaker(
        account,
        tags,
        jobs,
        TuningJobs(jobs, tags),
        instances=state.temporary / "instances",
        logs=logs,
        updates=updates,
        is_scaled=targets.has_variant,
    )
    scaling = ApplicationAutoScaling(targets, sagemaker, account)
    alarms.register()
    for gaps in (s3, lambda_, log_patterns, notifications, properties, iam, image, network):
        gaps.register()
    schedules.register(account)
    budget.register(account)
    hooks.register(sagemaker, SageMakerRuntime(sagemaker, metrics, capture), scaling)
    cloudformation.register(sagemaker, scaling)
    machines = Ec2Instances(account, state.temporary / "ec2", training_python, app.SERVICE_HANDLERS["ec2"])
    app.SERVICE_HANDLERS["ec2"] = machines.handle
    autoscaler = Autoscaler(scaling, sagemaker, metrics, account, clock)
    publish_seconds = min(PUBLISH_SECONDS, POINT_SECONDS / time_scale)
    for name, loop in (
        ("heal", lambda: sagemaker.watch_instances(stop)),
        ("logs", lambda: logs.ship_forever(stop)),
        ("capture", lambda: capture.write_forever(stop)),
        ("metrics", lambda: metrics.publish_forever(account.client("cloudwatch"), publish_seconds, stop)),
        ("autoscaler", lambda: autoscaler.run_forever(stop)),
    ):
        threading.Thread(target=loop, name=name, daemon=True).start()


async def _serve(config: Config, state: State, running: Running) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    server = asyncio.create_task(serve(app.app, config, shutdown_trigger=stopping.wait))
    state.announce(running)
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        await asyncio.wait({server}, timeout=GRACE_SECONDS)
        os._exit(0)  # ministack's threads would be waited for, for ever; the watchdog ends them and all processes
    await server  # it ended by itself: show why


if __name__ == "__main__":
    main()
