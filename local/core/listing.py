"""The listings of jobs, which SageMaker filters and sorts all alike."""

from collections.abc import Iterable

from local.core.json_service import Parameters, page

FILTERS = {
    "CreationTimeAfter": ("CreationTime", 1),
    "CreationTimeBefore": ("CreationTime", -1),
    "LastModifiedTimeAfter": ("LastModifiedTime", 1),
    "LastModifiedTimeBefore": ("LastModifiedTime", -1),
}
"""Bounds of a listing: the member they bound, and 1 where that must be later, -1 where earlier."""


def listed(jobs: Iterable[Parameters], p: Parameters, kind: str, member: str, fields: Iterable[str]) -> Parameters:
    """Return one page of a listing, the newest first unless the request sorts otherwise.

    Parameters
    ----------
    jobs
        Their descriptions.
    kind
        What the members for name and status begin with, for example ``TrainingJob``.
    member
        The answer's member for the page.
    fields
        What is shown of each job that has it.
    """
    name, status = f"{kind}Name", f"{kind}Status"
    found = [
        job
        for job in jobs
        if p.get("NameContains", "") in job[name]
        and p.get("StatusEquals") in (None, job[status])
        and all(float(p[bound]) * sign <= job[field] * sign for bound, (field, sign) in FILTERS.items() if bound in p)
    ]
    orders = {"Name": name, "Status": status, "FinalObjectiveMetricValue": "Objective"}
    order = orders.get(p.get("SortBy", ""), "CreationTime")
    found.sort(key=lambda job: job[order], reverse=p.get("SortOrder", "Descending") == "Descending")
    items, token = page([{field: job[field] for field in fields if field in job} for job in found], p)
    return {member: items, **token}
