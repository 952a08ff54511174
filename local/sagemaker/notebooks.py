"""SageMaker notebook instances and their lifecycle configurations: recorded, and started nowhere."""

import time

from local.core.account import Account
from local.core.errors import NotFoundError, validation_error
from local.core.json_service import Parameters
from local.core.names import arn
from local.core.tags import Tags

NOTEBOOK, CONFIG = "NotebookInstance", "NotebookInstanceLifecycleConfig"
CHANGEABLE = ("DisassociateLifecycleConfig",)
"""Members of UpdateNotebookInstance that are orders, not properties."""

SHOWN = {"LifecycleConfigName": "NotebookInstanceLifecycleConfigName", "SecurityGroupIds": "SecurityGroups"}
"""Members that DescribeNotebookInstance names otherwise than CreateNotebookInstance."""


class Notebooks:
    """The operations of notebook instances.

    Parameters
    ----------
    account
        Knows the roles: a notebook's must trust SageMaker.
    tags
        Where the service keeps its resources' tags.
    """

    def __init__(self, account: Account, tags: Tags) -> None:
        self._account = account
        self._tags = tags
        self._notebooks: dict[str, Parameters] = {}
        self._configs: dict[str, Parameters] = {}

    def create_notebook_instance(self, request: Parameters) -> Parameters:
        """Record a notebook instance, in service at once."""
        name = request[f"{NOTEBOOK}Name"]
        notebook_arn = arn("sagemaker", f"notebook-instance/{name}")
        if name in self._notebooks:
            raise validation_error(f'Cannot create already existing notebook instance "{notebook_arn}".')
        if config := request.get("LifecycleConfigName"):
            self._config(config)
        self._account.assume(request["RoleArn"], "sagemaker", "SageMaker")
        self._notebooks[name] = {
            **{SHOWN.get(member, member): value for member, value in request.items() if member != "Tags"},
            f"{NOTEBOOK}Arn": notebook_arn,
            f"{NOTEBOOK}Status": "InService",
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }
        self._tags.add(notebook_arn, request)
        return {f"{NOTEBOOK}Arn": notebook_arn}

    def describe_notebook_instance(self, request: Parameters) -> Parameters:
        """Return a notebook instance as it was created or changed."""
        return self._notebook(request[f"{NOTEBOOK}Name"])

    def update_notebook_instance(self, request: Parameters) -> None:
        """Change a stopped notebook instance."""
        notebook = self._stopped(request, "update")
        notebook |= {SHOWN.get(member, member): value for member, value in request.items() if member not in CHANGEABLE}
        if request.get("DisassociateLifecycleConfig"):
            notebook.pop(SHOWN["LifecycleConfigName"], None)
        notebook["LastModifiedTime"] = time.time()

    def stop_notebook_instance(self, request: Parameters) -> None:
        """Stop a notebook instance at once."""
        self._notebook(request[f"{NOTEBOOK}Name"])[f"{NOTEBOOK}Status"] = "Stopped"

    def start_notebook_instance(self, request: Parameters) -> None:
        """Start a notebook instance at once."""
        self._notebook(request[f"{NOTEBOOK}Name"])[f"{NOTEBOOK}Status"] = "InService"

    def delete_notebook_instance(self, request: Parameters) -> None:
        """Forget a stopped notebook instance."""
        notebook = self._stopped(request, "delete")
        self._tags.forget(notebook[f"{NOTEBOOK}Arn"])
        del self._notebooks[request[f"{NOTEBOOK}Name"]]

    def create_notebook_instance_lifecycle_config(self, request: Parameters) -> Parameters:
        """Record the scripts of a lifecycle configuration."""
        name = request[f"{CONFIG}Name"]
        config_arn = arn("sagemaker", f"notebook-instance-lifecycle-config/{name}")
        if name in self._configs:
            raise validation_error(f'Cannot create already existing lifecycle configuration "{config_arn}".')
        self._configs[name] = {
            **{member: value for member, value in request.items() if member != "Tags"},
            f"{CONFIG}Arn": config_arn,
            "CreationTime": time.time(),
        }
        self._tags.add(config_arn, request)
        return {f"{CONFIG}Arn": config_arn}

    def describe_notebook_instance_lifecycle_config(self, request: Parameters) -> Parameters:
        """Return a lifecycle configuration as it was created."""
        return self._config(request[f"{CONFIG}Name"])

    def update_notebook_instance_lifecycle_config(self, request: Parameters) -> None:
        """Change the scripts of a lifecycle configuration."""
        self._config(request[f"{CONFIG}Name"]).update(request)

    def delete_notebook_instance_lifecycle_config(self, request: Parameters) -> None:
        """Forget a lifecycle configuration."""
        self._tags.forget(self._config(request[f"{CONFIG}Name"])[f"{CONFIG}Arn"])
        del self._configs[request[f"{CONFIG}Name"]]

    def _stopped(self, request: Parameters, verb: str) -> Parameters:
        notebook = self._notebook(request[f"{NOTEBOOK}Name"])
        if notebook[f"{NOTEBOOK}Status"] != "Stopped":
            raise validation_error(
                f"Status (InService) not in ([Stopped, Failed]). Unable to {verb} notebook instance."
            )
        return notebook

    def _notebook(self, name: str) -> Parameters:
        return _find(self._notebooks, name)

    def _config(self, name: str) -> Parameters:
        return _find(self._configs, name)


def _find(store: dict[str, Parameters], name: str) -> Parameters:
    if name not in store:
        raise NotFoundError("ValidationException", f"RecordNotFound: {name}")
    return store[name]
