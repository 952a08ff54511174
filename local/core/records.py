"""The records of SageMaker's resources by name: found or refused, shown, listed."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from local.core.errors import NotFoundError
from local.core.json_service import Parameters, cut_page
from local.core.names import arn

T = TypeVar("T")


def require_record(records: Mapping[str, T], name: str, noun: str, resource: str) -> T:
    """Return a record.

    Parameters
    ----------
    noun
        What the refusal calls the record, for example ``endpoint configuration``.
    resource
        Its type in an ARN, for example ``endpoint-config``.

    Raises
    ------
    NotFoundError
        There is none of this name.
    """
    if name not in records:
        message = f'Could not find {noun} "{arn("sagemaker", f"{resource}/{name}")}".'
        raise NotFoundError("ValidationException", message)
    return records[name]


def without_tags(record: Parameters) -> Parameters:
    """Return a record as Describe operations show it."""
    return {member: value for member, value in record.items() if member != "Tags"}


def list_newest(records: Iterable[Parameters], request: Parameters, member: str, fields: tuple[str, ...]) -> Parameters:
    """Return one page of a listing, newest first, filtered by ``NameContains``.

    Parameters
    ----------
    request
        The request's parameters.
    member
        The answer's member for the page.
    fields
        What is shown of each record; the first is its name.
    """
    named = [record for record in records if request.get("NameContains", "") in record[fields[0]]]
    named.sort(key=lambda record: record["CreationTime"], reverse=True)
    items, token = cut_page([{field: record[field] for field in fields} for record in named], request)
    return {member: items, **token}
