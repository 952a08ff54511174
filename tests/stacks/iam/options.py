"""Which setting switches on what no file of ``settings/`` does: the words for docs/security.md, held to the templates.

An option explains an entry of the golden policies only if the settings files that choose it are exactly those that the
entry holds in.
"""

from collections.abc import Callable, Collection

from stacks.settings import Settings
from tests.stacks.environments import CONTEXT, EVERY, settings_of

Option = tuple[str, Callable[[Settings], bool]]

KEY: Option = ("`storage.kms_key_arn` is set", lambda settings: settings.storage.kms_key_arn is not None)
NETWORK: Option = ("`training.network` is set", lambda settings: settings.training.network is not None)
CAPTURE: Option = (
    "`endpoint.capture_percentage` is above 0",
    lambda settings: settings.endpoint.capture_percentage > 0,
)
SHADOW: Option = ("`endpoint.shadow` is set", lambda settings: settings.endpoint.shadow is not None)
SEVERAL: Option = ("there are several `endpoint.variants`", lambda settings: len(settings.endpoint.variants) > 1)
ELSEWHERE: Option = (
    "the model is at `-c model=s3://...`",
    lambda settings: "model" in CONTEXT.get(settings.environment, {}),
)


def both(one: Option, other: Option) -> Option:
    """Return the option that both are chosen."""
    return f"{one[0]} and {other[0]}", lambda settings: one[1](settings) and other[1](settings)


OPTIONS: dict[str, list[Option]] = {
    # Roles
    "Endpoint-NextHostingRole": [
        (
            "`endpoint.variants` or `endpoint.shadow` names a variant, here Next",
            lambda settings: SEVERAL[1](settings) or SHADOW[1](settings),
        )
    ],
    "Training-NotebookRole": [
        ("`training.notebook.enabled` is true", lambda settings: settings.training.notebook.enabled)
    ],
    # Statements
    "UseKey": [KEY, both(KEY, CAPTURE), both(KEY, ELSEWHERE)],
    "UseQueueKey": [KEY],
    "EncryptJobOutput": [KEY],
    "EncryptEndpointLogs": [
        ("`api.log_kms_key_arn` is set", lambda settings: settings.api.log_kms_key_arn is not None)
    ],
    "WriteCapture": [CAPTURE],
    "DescribeNetwork": [NETWORK],
    "CreateNetworkInterfaces": [NETWORK],
    "ManageNetworkInterfaces": [NETWORK],
    "ReadAlarms": [SEVERAL, SHADOW],
    "ReadArtifact": [ELSEWHERE],
    "PullImage": [
        ('`container = "image"`', lambda settings: settings.endpoint.container == "image"),
        ("`training.repository` is set", lambda settings: settings.training.repository is not None),
        ("`container` is an image's URI", lambda settings: settings.endpoint.container not in ("ray", "image")),
    ],
    # Attachments
    "permissions_boundary": [
        ("`account.permissions_boundary` is set", lambda settings: settings.account.permissions_boundary is not None)
    ],
}
"""By the name of a role, the Sid of a statement, or the section of a golden policy."""


def only_where(what: str, environments: Collection[str], among: Collection[str] = EVERY) -> str | None:
    """Return the words for what holds in some environments, of those that its role is in; None if there are none."""
    for words, chosen in OPTIONS.get(what, []):
        if {environment for environment in among if chosen(settings_of(environment))} == set(environments):
            return words
    return None
