"""The CloudFormation types of Application Auto Scaling, over its own operations.

Which property replaces and which updates in place: CloudFormation template reference of each type.
"""

from local.core.json_service import Parameters
from local.ministack.cloudformation import Created, ResourceType, Service

TARGET_KEYS = ("ResourceId", "ScalableDimension", "ServiceNamespace")
POLICY_KEYS = ("PolicyName", "PolicyType", "ScalingTargetId", *TARGET_KEYS)


def types(scaling: Service) -> dict[str, ResourceType]:
    """Return the types by name."""
    return {
        "AWS::ApplicationAutoScaling::ScalableTarget": _ScalableTarget(scaling),
        "AWS::ApplicationAutoScaling::ScalingPolicy": _ScalingPolicy(scaling),
    }


class _ScalableTarget(ResourceType):
    replacing = TARGET_KEYS

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        own = {key: value for key, value in properties.items() if key != "ScheduledActions"}
        self.call("RegisterScalableTarget", own)
        physical_id = "|".join(properties[key] for key in TARGET_KEYS)
        try:
            self._schedule(properties, {}, properties)
        except ValueError:
            self.delete(physical_id, properties)
            raise
        return physical_id, {"Id": physical_id}

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        own = {key: value for key, value in new.items() if key != "ScheduledActions"}
        self.call("RegisterScalableTarget", own)
        self._schedule(new, old, new)
        return physical_id, {"Id": physical_id}

    def _schedule(self, target: Parameters, old: Parameters, new: Parameters) -> None:
        keys = {key: target[key] for key in TARGET_KEYS}
        actions = new.get("ScheduledActions", [])
        names = {action["ScheduledActionName"] for action in actions}
        for gone in {action["ScheduledActionName"] for action in old.get("ScheduledActions", [])} - names:
            self.delete_quietly("DeleteScheduledAction", {**keys, "ScheduledActionName": gone})
        for action in actions:
            self.call("PutScheduledAction", {**keys, **action})

    def delete(self, physical_id: str, properties: Parameters) -> None:
        target = dict(zip(TARGET_KEYS, physical_id.split("|"), strict=True))
        self.delete_quietly("DeregisterScalableTarget", target)


class _ScalingPolicy(ResourceType):
    replacing = POLICY_KEYS

    def create(self, logical_id: str, properties: Parameters, stack: str) -> Created:
        answer = self.call("PutScalingPolicy", _with_target(properties))
        return answer["PolicyARN"], {"Arn": answer["PolicyARN"]}

    def update(self, physical_id: str, old: Parameters, new: Parameters, stack: str) -> Created:
        return self.create("", new, stack)

    def delete(self, physical_id: str, properties: Parameters) -> None:
        keys = _with_target(properties)
        self.delete_quietly("DeleteScalingPolicy", {key: keys[key] for key in (*TARGET_KEYS, "PolicyName")})


def _with_target(properties: Parameters) -> Parameters:
    """Return a policy's properties with its target's keys in place of ``ScalingTargetId``."""
    own = {key: value for key, value in properties.items() if key != "ScalingTargetId"}
    target = properties.get("ScalingTargetId", "").split("|")
    return own | dict(zip(TARGET_KEYS, target, strict=True)) if len(target) == len(TARGET_KEYS) else own
