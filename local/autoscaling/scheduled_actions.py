"""Scheduled actions of scalable targets: recorded, and never carried out."""

import time
import uuid
from collections.abc import Container

from local.autoscaling.scalable import TargetKey
from local.core.errors import NotFoundError, validation_error
from local.core.json_service import Parameters, cut_page
from local.core.names import arn


class ScheduledActions:
    """The operations of scheduled actions.

    Parameters
    ----------
    targets
        The scalable targets that are registered.
    """

    def __init__(self, targets: Container[TargetKey]) -> None:
        self._targets = targets
        self._actions: dict[tuple[TargetKey, str], Parameters] = {}

    def put_scheduled_action(self, request: Parameters) -> None:
        """Create or change a scheduled action of a registered target."""
        key, name = _key(request), request["ScheduledActionName"]
        if key not in self._targets:
            raise NotFoundError(
                "ObjectNotFoundException",
                f"No scalable target registered for service namespace: {key[0]}, resource ID: {key[1]}, scalable "
                f"dimension: {key[2]}",
            )
        recorded = self._actions.get((key, name), {})
        for member in ("Schedule", "ScalableTargetAction"):
            if member not in request and member not in recorded:
                raise validation_error(f"{member} must be specified for a new scheduled action.")
        bounds = request.get("ScalableTargetAction", recorded.get("ScalableTargetAction"))
        if not bounds:
            raise validation_error("ScalableTargetAction must have MinCapacity or MaxCapacity.")
        if bounds.get("MinCapacity", 0) > bounds.get("MaxCapacity", float("inf")):
            raise validation_error("Maximum capacity cannot be less than minimum capacity.")
        identifier = f"scheduledAction:{uuid.uuid4()}:resource/{key[0]}/{key[1]}:scheduledActionName/{name}"
        self._actions[key, name] = {
            "ScheduledActionARN": arn("autoscaling", identifier),
            "CreationTime": time.time(),
            **recorded,
            **request,
        }

    def describe_scheduled_actions(self, request: Parameters) -> Parameters:
        """List scheduled actions."""
        actions = [
            action
            for ((namespace, resource, dimension), name), action in self._actions.items()
            if namespace == request["ServiceNamespace"]
            and resource == request.get("ResourceId", resource)
            and dimension == request.get("ScalableDimension", dimension)
            and name in request.get("ScheduledActionNames", [name])
        ]
        items, token = cut_page(actions, request)
        return {"ScheduledActions": items, **token}

    def delete_scheduled_action(self, request: Parameters) -> None:
        """Delete a scheduled action."""
        if self._actions.pop((_key(request), request["ScheduledActionName"]), None) is None:
            name = request["ScheduledActionName"]
            raise NotFoundError("ObjectNotFoundException", f"No scheduled action found for name: {name}")

    def forget(self, key: TargetKey) -> None:
        """Forget the scheduled actions of a target that is deregistered."""
        for action in [action for action in self._actions if action[0] == key]:
            del self._actions[action]


def _key(request: Parameters) -> TargetKey:
    return request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"]
