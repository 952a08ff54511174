"""An environment as these commands see it: its settings file, and the names that its stacks give to things."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operate.errors import OperateError

ROOT = Path(__file__).parents[1]
"""The checkout. A link is not followed, so that a folder of links to a checkout has settings of its own."""

NAME = re.compile(r"[a-z][a-z0-9-]{0,25}[a-z0-9]")
"""As in ``stacks/settings``."""
ACCOUNT = re.compile(r"[0-9]{12}")
# Names of regions: AWS General Reference, "AWS service endpoints".
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")

NOUNS = ("Api", "Monitoring", "Training", "Endpoint", "Storage")
"""The stacks, in an order in which they can be deleted."""


@dataclass(frozen=True)
class Environment:
    """One file of ``settings/``.

    Attributes
    ----------
    name
        The file's name without ``.toml``.
    file
        The file, as messages name it.
    settings
        Its tables. ``./kennel cdk synth`` checks them; these commands read a few.
    """

    name: str
    file: str
    settings: Mapping[str, Any]

    @property
    def endpoint(self) -> str:
        """The endpoint's name, which is the function's too."""
        return f"kennel-{self.name}"

    @property
    def tags(self) -> dict[str, str]:
        """Tags that only things of this environment have."""
        return {"Project": "kennel", "Deployment": f"kennel-{self.name}"}

    @property
    def log_group(self) -> str:
        """The log group in which SageMaker collects what the endpoint's containers print."""
        return f"/aws/sagemaker/Endpoints/{self.endpoint}"

    @property
    def notebook(self) -> str:
        """The name of the workbench notebook."""
        return f"kennel-{self.name}-workbench"

    def stack(self, noun: str) -> str:
        """Return a stack's name.

        Parameters
        ----------
        noun
            One of `NOUNS`.
        """
        return f"Kennel{noun}-{self.name}"

    def bucket(self, account: str, region: str) -> str:
        """Return the name of the environment's bucket."""
        return f"kennel-{self.name}-{account}-{region}"

    @property
    def account(self) -> str | None:
        """The account that ``[account] id`` binds the environment to."""
        return self._bound("id", ACCOUNT, 'use the 12 digits of an AWS account, such as "123456789012"')

    @property
    def region(self) -> str | None:
        """The region that ``[account] region`` binds the environment to."""
        return self._bound("region", REGION, 'use the name of an AWS region, such as "eu-central-1"')

    def _bound(self, key: str, form: re.Pattern[str], advice: str) -> str | None:
        value = self._table("account").get(key)
        if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
            raise OperateError(f"{self.file}: account.{key} = {value!r}: {advice}")
        return value

    @property
    def protected(self) -> bool:
        """Whether the settings protect the stacks from deletion."""
        return bool(self._table("account").get("termination_protection"))

    @property
    def scales(self) -> bool:
        """Whether the settings let the endpoint scale."""
        endpoint = self._table("endpoint")
        scaling = endpoint.get("scaling", {})
        return "serverless" not in endpoint and bool(scaling.get("enabled", True))

    @property
    def instance_types(self) -> dict[str, str]:
        """The instance type of each production variant, by the variant's name; nothing if it is serverless."""
        endpoint = self._table("endpoint")
        if "serverless" in endpoint:
            return {}
        variants = endpoint.get("variants") or [{"name": "AllTraffic"}]
        return {item["name"]: item.get("instance_type", endpoint.get("instance_type", "")) for item in variants}

    @property
    def own_models(self) -> set[str]:
        """The variants with a model of their own, which is not the one that a deployment is given."""
        return {item["name"] for item in self._table("endpoint").get("variants", []) if "manifest" in item}

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self.settings.get(name, {})
        return table if isinstance(table, dict) else {}


def load_environment(name: str, folder: Path | None = None) -> Environment:
    """Read an environment's settings file.

    Parameters
    ----------
    name
        The file's name without ``.toml``.
    folder
        Where the settings files are; by default, ``settings/`` of the checkout.

    Raises
    ------
    OperateError
        There is no such file, or it cannot be read.
    """
    folder = folder or ROOT / "settings"
    if not NAME.fullmatch(name):
        raise OperateError(
            f"--environment {name!r}: not an environment's name: use the name of a file in settings/ without .toml, "
            "such as dev"
        )
    path, shown = folder / f"{name}.toml", f"settings/{name}.toml"
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
        raise OperateError(f"{shown}: no such settings file (there are: {known}); choose one of them") from None
    except OSError as error:
        raise OperateError(f"{shown}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise OperateError(f"{shown}: not valid TOML: {error}") from None
    return Environment(name, shown, settings)
