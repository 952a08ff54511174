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

    def create_notebook_instance(self, p: Parameters) -> Parameters:
        """Record a notebook instance, in service at once."""
        name, notebook_arn = p[f"{NOTEBOOK}Name"], arn("sagemaker", f"notebook-instance/{p[f'{NOTEBOOK}Name']}")
        if name in self._notebooks:
            raise validation_error(f'Cannot create already existing notebook instance "{notebook_arn}".')
        if config := p.get("LifecycleConfigName"):
            self._config(config)
        self._account.assume(p["RoleArn"], "sagemaker", "SageMaker")
        self._notebooks[name] = {
            **{SHOWN.get(member, member): value for member, value in p.items() if member != "Tags"},
            f"{NOTEBOOK}Arn": notebook_arn,
            f"{NOTEBOOK}Status": "InService",
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }
        self._tags.add(notebook_arn, p)
        return {f"{NOTEBOOK}Arn": notebook_arn}

    def describe_notebook_instance(self, p: Parameters) -> Parameters:
        """Return a notebook instance as it was created or changed."""
        return self._notebook(p[f"{NOTEBOOK}Name"])

    def update_notebook_instance(self, p: Parameters) -> None:
        """Change a stopped notebook instance."""
        notebook = self._stopped(p, "update")
        notebook |= {SHOWN.get(member, member): value for member, value in p.items() if member not in CHANGEABLE}
        if p.get("DisassociateLifecycleConfig"):
            notebook.pop(SHOWN["LifecycleConfigName"], None)
        notebook["LastModifiedTime"] = time.time()

    def stop_notebook_instance(self, p: Parameters) -> None:
        """Stop a notebook instance at once."""
        self._notebook(p[f"{NOTEBOOK}Name"])[f"{NOTEBOOK}Status"] = "Stopped"

    def start_notebook_instance(self, p: Parameters) -> None:
        """Start a notebook instance at once."""
        self._notebook(p[f"{NOTEBOOK}Name"])[f"{NOTEBOOK}Status"] = "InService"

    def delete_notebook_instance(self, p: Parameters) -> None:
        """Forget a stopped notebook instance."""
        notebook = self._stopped(p, "delete")
        self._tags.forget(notebook[f"{NOTEBOOK}Arn"])
        del self._notebooks[p[f"{NOTEBOOK}Name"]]

    def create_notebook_instance_lifecycle_config(self, p: Parameters) -> Parameters:
        """Record the scripts of a lifecycle configuration."""
        name = p[f"{CONFIG}Name"]
        config_arn = arn("sagemaker", f"notebook-instance-lifecycle-config/{name}")
        if name in self._configs:
            raise validation_error(f'Cannot create already existing lifecycle configuration "{config_arn}".')
        self._configs[name] = {
            **{member: value for member, value in p.items() if member != "Tags"},
            f"{CONFIG}Arn": config_arn,
            "CreationTime": time.time(),
        }
        self._tags.add(config_arn, p)
        return {f"{CONFIG}Arn": config_arn}

    def describe_notebook_instance_lifecycle_config(self, p: Parameters) -> Parameters:
        """Return a lifecycle configuration as it was created."""
        return self._config(p[f"{CONFIG}Name"])

    def update_notebook_instance_lifecycle_config(self, p: Parameters) -> None:
        """Change the scripts of a lifecycle configuration."""
        self._config(p[f"{CONFIG}Name"]).update(p)

    def delete_notebook_instance_lifecycle_config(self, p: Parameters) -> None:
        """Forget a lifecycle configuration."""
        self._tags.forget(self._config(p[f"{CONFIG}Name"])[f"{CONFIG}Arn"])
        del self._configs[p[f"{CONFIG}Name"]]

    def _stopped(self, p: Parameters, verb: str) -> Parameters:
        notebook = self._notebook(p[f"{NOTEBOOK}Name"])
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
