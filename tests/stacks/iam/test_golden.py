"""Least privilege: every role is exactly its golden policy, in every environment.

`.venv/bin/python -m pytest tests/stacks/iam --accept` writes the golden policies (and docs/security.md) anew;
the diff of `tests/stacks/iam/golden` is then what a reviewer approves.
"""

from collections.abc import Callable

from tests.stacks.iam.golden_policies import Granted, departures


def test_every_role_grants_its_golden_policy_no_more_and_no_less(
    environment: str, granted: Callable[[str], Granted], golden: Callable[[str], Granted]
) -> None:
    wrong = list(departures(granted(environment), golden(environment)))
    assert not wrong, "\n".join(["", *wrong, "if that is meant: .venv/bin/python -m pytest tests/stacks/iam --accept"])
