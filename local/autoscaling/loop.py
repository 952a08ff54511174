"""The loop that makes target tracking real: once a minute of the scaled clock, count, decide, resize."""

import logging
import threading

from local.autoscaling.scalable import INVOCATIONS, VARIANT, TargetKey
from local.autoscaling.service import ApplicationAutoScaling, ScalingPolicy, describe_variant
from local.autoscaling.target_tracking import POINT_SECONDS
from local.core.account import Account
from local.core.clock import ScaledClock
from local.core.errors import ServiceError
from local.core.json_service import JsonService
from local.sagemaker.invocation_metrics import InvocationMetrics

log = logging.getLogger(__name__)


class Autoscaler:
    """Follows every policy on one clock.

    Parameters
    ----------
    scaling
        Has the targets and policies.
    sagemaker
        Describes and resizes the variants.
    metrics
        Counts invocations.
    account
        Shows the policies' alarms in CloudWatch.
    clock
        The one that minutes and cooldowns pass on.
    """

    def __init__(
        self,
        scaling: ApplicationAutoScaling,
        sagemaker: JsonService,
        metrics: InvocationMetrics,
        account: Account,
        clock: ScaledClock,
    ) -> None:
        self._scaling = scaling
        self._sagemaker = sagemaker
        self._metrics = metrics
        self._account = account
        self._clock = clock
        self._alarm_states: dict[str, str] = {}

    def run_forever(self, stop: threading.Event) -> None:
        """Observe and decide at the end of every minute until `stop` is set."""
        minute = 1
        while self._clock.wait(minute * POINT_SECONDS, stop):
            try:
                self.end_minute(self._metrics.take_per_instance())
            except Exception:
                log.exception("autoscaling")
            minute = max(minute + 1, int(self._clock.now() // POINT_SECONDS) + 1)

    def end_minute(self, per_instance: dict[tuple[str, str], float]) -> None:
        """Give every policy on invocations its point of the minute and carry out what it decides."""
        for (key, _), policy in list(self._scaling.policies.items()):
            variant = VARIANT.parts(key[1])
            if variant is None or policy.metric != INVOCATIONS:
                continue
            policy.tracking.observe(per_instance.get(variant, 0.0))
            self._show_alarms(policy)
            self._apply(key, variant, policy)

    def _apply(self, key: TargetKey, variant: tuple[str, str], policy: ScalingPolicy) -> None:
        name, variant_name = variant
        summary, target = describe_variant(self._sagemaker, name, variant_name), self._scaling.targets.get(key)
        if summary is None or target is None:
            return
        current = summary["DesiredInstanceCount"]
        decision = policy.tracking.decide(
            now=self._clock.now(),
            current=current,
            minimum=target["MinCapacity"],
            maximum=target["MaxCapacity"],
            updating=summary["EndpointStatus"] != "InService",
        )
        if decision is None:
            return
        log.warning("scaling %s from %d to %d (%s)", key[1], current, decision.capacity, decision.alarm)
        failure = None
        change = {"VariantName": variant_name, "DesiredInstanceCount": decision.capacity}
        try:
            self._sagemaker.call(
                "UpdateEndpointWeightsAndCapacities",
                {"EndpointName": name, "DesiredWeightsAndCapacities": [change]},
            )
        except ServiceError as error:
            failure = str(error)
        cause = f"monitor alarm {decision.alarm} in state ALARM triggered policy {policy.shown['PolicyName']}"
        self._scaling.record_activity(key, decision.capacity, cause, failure)

    def _show_alarms(self, policy: ScalingPolicy) -> None:
        """Set the state of the policy's alarms in CloudWatch where it has changed."""
        for name, ringing in zip(policy.alarms, (policy.tracking.high, policy.tracking.low), strict=True):
            state = "ALARM" if ringing else "OK"
            if self._alarm_states.get(name) != state:
                self._alarm_states[name] = state
                self._account.client("cloudwatch").set_alarm_state(
                    AlarmName=name, StateValue=state, StateReason="Target tracking on the embedded AWS's clock"
                )
