"""The frame of a service that speaks AWS's JSON protocol: validate, call the operation, answer."""

import asyncio
import json
import threading
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from local.core.constraints import find_violations
from local.core.errors import ServiceError, validation_error

Parameters = dict[str, Any]
"""Members of a request or of an answer, named as the API names them."""

Response = tuple[int, dict[str, str], bytes]
"""HTTP status, headers, body: what ministack's handlers return."""


def service_model(name: str) -> ServiceModel:
    """Return botocore's model of a service: its operations, their shapes and constraints."""
    return botocore.session.get_session().get_service_model(name)


class JsonService:
    """A service whose operations are the methods of a subclass: ``CreateModel`` is ``create_model``.

    Operations run one at a time under `lock`; what takes long runs in threads of its own.

    Parameters
    ----------
    name
        botocore's name of the service.
    parts
        Objects with further operations, for resources that the rest of the service does not need to know.
    """

    def __init__(self, name: str, *parts: object) -> None:
        self.name = name
        self._parts = parts
        self.model = service_model(name)
        self.lock = threading.RLock()

    def call(self, operation: str, parameters: Parameters) -> Parameters:
        """Run an operation as its API would.

        Parameters
        ----------
        operation
            As the API spells it, for example ``CreateModel``.
        parameters
            Members of the request.

        Raises
        ------
        ServiceError
            The input is invalid, or the operation refuses it or is not simulated.
        """
        name = xform_name(operation)
        method = next((getattr(part, name) for part in (self, *self._parts) if hasattr(part, name)), None)
        if operation not in self.model.operation_names or method is None:
            message = f"{self.name}: {operation} is not simulated by the embedded AWS."
            raise ServiceError("NotImplemented", message, 501)
        self._validate(operation, parameters)
        with self.lock:
            answer: Parameters | None = method(parameters)
        return answer or {}

    def _validate(self, operation: str, parameters: Parameters) -> None:
        shape = self.model.operation_model(operation).input_shape
        if shape is None:
            return
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            raise validation_error(report.generate_report())
        if violations := list(find_violations(shape, parameters)):
            errors = "error" if len(violations) == 1 else "errors"
            raise validation_error(f"{len(violations)} validation {errors} detected: {'; '.join(violations)}")

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer a request of the JSON 1.1 protocol (ministack's handler signature)."""
        operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        content = {"Content-Type": "application/x-amz-json-1.1"}
        try:
            parameters = json.loads(body or b"{}")
            answer = await asyncio.to_thread(self.call, operation, parameters)
            return 200, content, json.dumps(answer).encode()
        except ServiceError as error:
            return error.status, content, json.dumps(error_body(error)).encode()


def error_body(error: ServiceError) -> Parameters:
    """Return the members of an error answer, with both spellings of ``message`` that AWS's services use."""
    return {"__type": error.code, "message": str(error), "Message": str(error), **error.fields}


def cut_page(items: list[Parameters], parameters: Parameters) -> tuple[list[Parameters], Parameters]:
    """Cut one page out of a listing by ``MaxResults`` and ``NextToken``.

    Parameters
    ----------
    items
        The whole listing, in order.
    parameters
        The request's.

    Returns
    -------
    tuple
        The page's items, and ``{"NextToken": ...}`` or ``{}``.
    """
    start = int(parameters.get("NextToken") or 0)
    end = start + parameters.get("MaxResults", 100)
    return items[start:end], {"NextToken": str(end)} if end < len(items) else {}
