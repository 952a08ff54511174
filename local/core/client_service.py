"""A service of ministack's, reached by a client as anybody else reaches it."""

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from local.core.account import Account
from local.core.errors import NotFoundError, ServiceError, validation_error
from local.core.json_service import Parameters, service_model


class ClientService:
    """Calls a service as the account's root.

    Parameters
    ----------
    account
        Makes the client.
    name
        botocore's name of the service.
    """

    def __init__(self, account: Account, name: str) -> None:
        self.name = name
        self.model = service_model(name)
        self._account = account

    def call(self, operation: str, parameters: Parameters) -> Parameters:
        """Call an operation; not from the gateway's own loop, which answers it.

        Parameters
        ----------
        operation
            As the API spells it, for example ``CreateBudget``.
        parameters
            Members of the request.

        Raises
        ------
        ServiceError
            The service, or botocore before it, refuses the request.
        """
        try:
            answer: Parameters = getattr(self._account.client(self.name), xform_name(operation))(**parameters)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            refusal = NotFoundError if "NotFound" in code else ServiceError
            raise refusal(code, message, error.response["ResponseMetadata"]["HTTPStatusCode"]) from error
        except BotoCoreError as error:
            raise validation_error(str(error)) from error
        return answer
