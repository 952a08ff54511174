"""docs/security.md says what the templates grant; `pytest tests/stacks/iam --accept` brings it up to date."""

from collections.abc import Callable

import pytest

from tests.stacks.iam import security_doc
from tests.stacks.iam.golden_policies import Granted, merge


@pytest.mark.usefixtures("golden")  # which writes the page first where --accept says so
def test_the_page_is_what_the_templates_grant(environments: list[str], granted: Callable[[str], Granted]) -> None:
    made = security_doc.render(merge({environment: granted(environment) for environment in environments}))
    assert security_doc.generated_part() == made, ".venv/bin/python -m pytest tests/stacks/iam --accept"


def test_a_statement_without_a_reason_has_no_place_on_the_page() -> None:
    statement = {"Sid": "Unheard", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}
    entry = {"environments": ["dev"], "grants": statement}
    with pytest.raises(security_doc.UnexplainedError, match="Unheard"):
        security_doc.render({"Api-Role": {"permissions": [entry]}})


def test_every_account_level_check_has_its_command() -> None:
    page = security_doc.PAGE.read_text(encoding="utf-8")
    for command in (
        "aws iam get-account-summary",
        "aws s3control get-public-access-block",
        "aws ec2 get-ebs-encryption-by-default",
        "aws cloudtrail get-trail-status",
        "aws ec2 get-instance-metadata-defaults",
    ):
        assert command in page
