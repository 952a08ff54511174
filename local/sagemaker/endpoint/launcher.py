"""The fleets of production variants: what their instances start from, and what must still be there when one starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.core.account import Account
from local.core.errors import InstanceError, NotFoundError
from local.sagemaker.endpoint.configurations import Configurations, Deployment
from local.sagemaker.endpoint.fleet import Fleet
from local.sagemaker.endpoint.instance import Instance, InstanceSpec, LogSink


class FleetLauncher:
    """Makes fleets that launch instances of one deployment.

    Parameters
    ----------
    configurations
        The models and configurations that exist now.
    account
        Gives instances access under their model's execution role.
    directory
        For the instances' files.
    logs
        Takes what the instances print.
    """

    def __init__(self, configurations: Configurations, account: Account, directory: Path, logs: LogSink) -> None:
        self._configurations = configurations
        self._account = account
        self._directory = directory
        self._logs = logs

    def make_fleet(self, deployment: Deployment, variant: Mapping[str, Any], spec: InstanceSpec) -> Fleet:
        """Return the empty fleet of a variant.

        Parameters
        ----------
        deployment
            What must not have been deleted when an instance starts.
        variant
            Its ``ProductionVariant``.
        spec
            What its instances start from.
        """
        strategy = variant.get("RoutingConfig", {}).get("RoutingStrategy")

        def make_instance() -> Instance:
            self._require_current(deployment)
            return Instance(spec, self._account, self._directory, self._logs)

        return Fleet(make_instance, least_outstanding=strategy == "LEAST_OUTSTANDING_REQUESTS")

    def _require_current(self, deployment: Deployment) -> None:
        """Refuse to start an instance whose configuration or model has been deleted.

        Source: SageMaker API reference, UpdateEndpoint ("You must not delete an EndpointConfig in use by an endpoint
        that is live"); ministryofjustice/analytical-platform 10195 quotes AWS's notice on models and roles.

        Raises
        ------
        InstanceError
            One of them is gone.
        """
        try:
            current = self._configurations.deployment(deployment.name)
        except NotFoundError as error:
            raise InstanceError(str(error)) from error
        if current != deployment:
            raise InstanceError(
                f"Endpoint configuration {deployment.name} or a model of it was deleted and created again while the "
                "endpoint used it: update the endpoint to a configuration with another name."
            )
