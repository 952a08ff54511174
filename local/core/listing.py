"""The listings of jobs, which SageMaker filters and sorts all alike."""

from collections.abc import Iterable

from local.core.json_service import Parameters, cut_page

FILTERS = {
    "CreationTimeAfter": ("CreationTime", 1),
    "CreationTimeBefore": ("CreationTime", -1),
    "LastModifiedTimeAfter": ("LastModifiedTime", 1),
    "LastModifiedTimeBefore": ("LastModifiedTime", -1),
}
"""Bounds of a listing: the member they bound, and 1 where that must be later, -1 where earlier."""


def list_jobs(
    jobs: Iterable[Parameters], request: Parameters, kind: str, member: str, fields: Iterable[str]
) -> Parameters:
    """Return one page of a listing, the newest first unless the request sorts otherwise.

    Parameters
    ----------
    jobs
        Their descriptions.
    request
        The request's parameters.
    kind
        What the members for name and status begin with, for example ``TrainingJob``.
    member
        The answer's member for the page.
    fields
        What is shown of each job that has it.
    """
    name, status = f"{kind}Name", f"{kind}Status"
    matching = [job for job in jobs if _matches(job, request, name, status)]
    orders = {"Name": name, "Status": status, "FinalObjectiveMetricValue": "Objective"}
    order = orders.get(request.get("SortBy", ""), "CreationTime")
    matching.sort(key=lambda job: job[order], reverse=request.get("SortOrder", "Descending") == "Descending")
    items, token = cut_page([{field: job[field] for field in fields if field in job} for job in matching], request)
    return {member: items, **token}


def _matches(job: Parameters, request: Parameters, name: str, status: str) -> bool:
    """Return whether a job passes the filters of a request."""
    if request.get("NameContains", "") not in job[name] or request.get("StatusEquals") not in (None, job[status]):
        return False
    bounds = ((float(request[bound]), job[field], sign) for bound, (field, sign) in FILTERS.items() if bound in request)
    return all(bound * sign <= moment * sign for bound, moment, sign in bounds)
