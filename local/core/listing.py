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


def list_jobs(jobs: Iterable[Parameters], p: Parameters, kind: str, member: str, fields: Iterable[str]) -> Parameters:
    """Return one page of a listing, the newest first unless the request sorts otherwise.

    Parameters
    ----------
    jobs
        Their descriptions.
    p
        The request's parameters.
    kind
        What the members for name and status begin with, for example ``TrainingJob``.
    member
        The answer's member for the page.
    fields
        What is shown of each job that has it.
    """
    name, status = f"{kind}Name", f"{kind}Status"
    matching = [job for job in jobs if _matches(job, p, name, status)]
    orders = {"Name": name, "Status": status, "FinalObjectiveMetricValue": "Objective"}
    order = orders.get(p.get("SortBy", ""), "CreationTime")
    matching.sort(key=lambda job: job[order], reverse=p.get("SortOrder", "Descending") == "Descending")
    items, token = cut_page([{field: job[field] for field in fields if field in job} for job in matching], p)
    return {member: items, **token}


def _matches(job: Parameters, p: Parameters, name: str, status: str) -> bool:
    """Return whether a job passes the filters of a request."""
    if p.get("NameContains", "") not in job[name] or p.get("StatusEquals") not in (None, job[status]):
        return False
    bounds = ((float(p[bound]), job[field], sign) for bound, (field, sign) in FILTERS.items() if bound in p)
    return all(bound * sign <= moment * sign for bound, moment, sign in bounds)
