"""Least privilege: every role is exactly its golden policy, in every environment.

`.venv/bin/python -m pytest tests/stacks/iam --accept` writes the golden policies (and docs/security.md) anew;
the diff of `tests/stacks/iam/golden` is then what a reviewer approves.
"""

from collections.abc import Callable

from tests.stacks.iam.golden_policies import Granted
from tests.stacks.iam.policy_model import differences


def test_every_role_grants_its_golden_policy_no_more_and_no_less(
    environment: str, granted: Callable[[str], Granted], golden: Callable[[str], Granted]
) -> None:
    accepted = golden(environment)
    actual = granted(environment)
    assert actual.keys() == accepted.keys(), "a role without a golden policy, or the other way round"
    wrong = [
        f"{name}, {kind}: {request}"
        for name, role in actual.items()
        for kind, request in differences(role, accepted[name]).items()
    ]
    assert not wrong, "\n".join(["", *wrong, "if that is meant: .venv/bin/python -m pytest tests/stacks/iam --accept"])
