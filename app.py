"""The CDK app: settings in, stacks out.

Context (``-c NAME=VALUE``): ``environment`` names a file of ``settings/`` (default ``dev``), ``manifest`` the manifest
of the model (default ``build/model.json``), ``model`` an artifact elsewhere (``s3://BUCKET/KEY.tar.gz``), or ``none``
where there is no model yet: then there are only the stacks that train one. ``live`` is the address of the artifact that
the endpoint serves now (``s3://BUCKET/KEY.tar.gz``): its role can still read it. It is empty if nothing serves.
"""

import sys
from pathlib import Path

import aws_cdk as cdk

from stacks.api.stack import ApiStack
from stacks.common.every_stack import every_stack
from stacks.endpoint.artifact import load_artifact, locate
from stacks.endpoint.stack import EndpointStack
from stacks.monitoring.stack import MonitoringStack
from stacks.settings import load_settings
from stacks.settings.errors import ConfigurationError
from stacks.storage.stack import StorageStack
from stacks.training.stack import TrainingStack


def build(app: cdk.App) -> None:
    """Add the stacks of one environment to the app.

    Raises
    ------
    ConfigurationError
        A setting or the model artifact cannot be deployed.
    """
    context = app.node.try_get_context
    environment, manifest, model, live = (context(name) for name in ("environment", "manifest", "model", "live"))
    # What is given and empty is a slip (an unset variable of a script), and never the default.
    settings = load_settings("dev" if environment is None else str(environment))
    name, common = settings.environment, every_stack(settings)
    storage = StorageStack(app, f"KennelStorage-{name}", settings=settings, **common)
    training = TrainingStack(app, f"KennelTraining-{name}", settings=settings, **common)
    # Last: in an account without a default VPC it fails, and `deploy --all` ends with the first stack that does.
    training.add_stack_dependency(storage)
    if model == "none":
        return
    artifact = load_artifact(
        None if manifest is None else Path(str(manifest)),
        minimum_accuracy=settings.model.minimum_accuracy,
        location=None if model is None else str(model),
    )
    endpoint = EndpointStack(
        app,
        f"KennelEndpoint-{name}",
        settings=settings,
        artifact=artifact,
        live=locate(str(live)) if live else None,
        **common,
    )
    endpoint.add_stack_dependency(storage)  # captured requests go to its bucket
    api = ApiStack(app, f"KennelApi-{name}", settings=settings, **common)
    api.add_stack_dependency(endpoint)
    monitoring = MonitoringStack(app, f"KennelMonitoring-{name}", settings=settings, **common)
    training.add_stack_dependency(api)
    training.add_stack_dependency(monitoring)


if __name__ == "__main__":
    try:
        app = cdk.App()
        build(app)
        app.synth()
    except ConfigurationError as error:
        sys.exit(f"kennel: {error}")
