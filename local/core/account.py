"""The one account of the embedded AWS, and clients of it for the services that run inside."""

import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from ministack.core import iam_evaluator
from ministack.services import iam, sts

from local.core.errors import validation_error
from local.core.names import ACCOUNT, REGION, arn


@dataclass(frozen=True)
class Credentials:
    """Keys of the account's root (no token) or of a role's session."""

    access_key: str
    secret_key: str
    token: str | None = None

    def environment(self) -> dict[str, str]:
        """Return the variables that SDKs read them from."""
        variables = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


class Account:
    """Makes boto3 clients that call the gateway as the account's root or as a role.

    Parameters
    ----------
    url
        Address of the gateway.
    root
        Credentials of the account's root.
    ca
        File with the certificate authorities to trust, the gateway's own among them.
    """

    def __init__(self, url: str, root: Credentials, ca: str) -> None:
        self.url = url
        self.ca = ca
        self._root = root
        self._session = boto3.session.Session(region_name=REGION)
        self._making = threading.Lock()
        self._root_clients: dict[str, Any] = {}

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """Return a client of a service: one of the credentials' own, or the account's root's, which is shared."""
        with self._making:  # making clients from one session is not thread-safe
            if credentials is not None:
                return self._make(service, credentials)
            if service not in self._root_clients:
                self._root_clients[service] = self._make(service, self._root)
            return self._root_clients[service]

    def _make(self, service: str, credentials: Credentials) -> Any:
        return self._session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.url,
            verify=self.ca,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
            config=Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 2}),
        )

    def assume(self, role_arn: str, service: str, session_name: str, source: str = "*") -> Credentials:
        """Open a session of a role as an AWS service does, for example ``sagemaker``.

        Parameters
        ----------
        role_arn
            The role.
        service
            The service, without ``.amazonaws.com``.
        session_name
            What the session's ARN ends with.
        source
            The service's resource that it does so for, as in the second half of its ARN.

        Raises
        ------
        ServiceError
            The role does not exist or does not trust the service (the text is SageMaker's).
        """
        if not _trusts(role_arn, f"{service}.amazonaws.com", arn(service, source)):
            raise validation_error(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{service}.amazonaws.com' to assume the role."
            )
        role = role_arn.rsplit("/", 1)[-1]
        digest = hashlib.sha256(f"{self._root.secret_key} {role_arn} {session_name}".encode()).hexdigest()
        keys = Credentials(f"ASIA{digest[:16].upper()}", f"secret{digest}", f"token{digest}")
        session = {
            "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session_name}",
            "UserId": f"{role}:{session_name}",
            "SecretAccessKey": keys.secret_key,
            "SessionToken": keys.token,
        }
        sts.register_session(keys.access_key, session)
        return keys

    def allows(self, credentials: Credentials, action: str, resource_arn: str) -> bool:
        """Return whether a role's policies and boundary allow its session an action on a resource.

        Parameters
        ----------
        credentials
            Of the session.
        action
            With its service, for example ``cloudwatch:DescribeAlarms``.
        resource_arn
            The resource.
        """
        principal = iam_evaluator.resolve_principal(credentials.access_key, ACCOUNT)
        context = iam_evaluator.EvalContext(
            principal_arn=principal.arn,
            principal_type=principal.type,
            principal_account=ACCOUNT,
            action=action,
            resource_arn=resource_arn,
            region=REGION,
            service_context={},
        )
        decision = iam_evaluator.evaluate(context, principal.policies, *principal.limits).decision
        return bool(decision == "Allow")


def _trusts(role_arn: str, principal: str, source: str) -> bool:
    """Return whether the role exists and its trust policy, conditions included, lets the service assume it."""
    role = iam._roles.get_scoped(ACCOUNT, None, role_arn.rsplit("/", 1)[-1])
    if not role or role["Arn"] != role_arn:
        return False
    document = role["AssumeRolePolicyDocument"]
    trust = json.loads(document) if isinstance(document, str) else document
    statements = trust["Statement"] if isinstance(trust["Statement"], list) else [trust["Statement"]]
    context = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="Service",
        principal_account=ACCOUNT,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=REGION,
        service_context={
            "aws:sourceaccount": ACCOUNT,
            "aws:sourcearn": source,
        },
    )
    policy = {"Statement": [{**statement, "Resource": "*"} for statement in statements]}
    decision = iam_evaluator.evaluate_resource_policy(policy, context, service=principal).decision
    return bool(decision == "Allow")
