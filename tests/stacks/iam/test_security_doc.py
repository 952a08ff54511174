"""docs/security.md says what the templates grant; `pytest tests/stacks/iam --accept` brings it up to date."""

from collections.abc import Callable

import pytest

from tests.stacks.iam import security_doc
from tests.stacks.iam.golden_policies import Granted, merge
from tests.stacks.iam.policy_model import Statement
from tests.stacks.iam.reasons import UnexplainedError, reason_of


@pytest.mark.usefixtures("golden")  # which writes the page first where --accept says so
def test_the_page_is_what_the_templates_grant(environments: list[str], granted: Callable[[str], Granted]) -> None:
    made = security_doc.render(merge({environment: granted(environment) for environment in environments}))
    assert security_doc.generated_part() == made, ".venv/bin/python -m pytest tests/stacks/iam --accept"


def statement(sid: str, resource: str) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [resource]}


def test_a_statement_without_a_reason_has_no_place_on_the_page() -> None:
    entry = {"environments": ["dev"], "grants": statement("Unheard", "*")}
    with pytest.raises(UnexplainedError, match="Unheard: give it a function"):
        security_doc.render({"Api-Role": {"permissions": [entry]}})


def test_a_wildcard_has_a_reason_in_the_docstring_and_a_reason_has_a_wildcard() -> None:
    assert "Wildcard: the user" in reason_of(statement("ReadObjects", "arn:aws:s3:::photos/data/*"))
    with pytest.raises(UnexplainedError, match="ReadObjects: it has no wildcard"):
        reason_of(statement("ReadObjects", "arn:aws:s3:::photos/data/one"))
    with pytest.raises(UnexplainedError, match=r"ReadArtifact: narrow \['arn:aws:s3:::photos/\*'\], or say"):
        reason_of(statement("ReadArtifact", "arn:aws:s3:::photos/*"))


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
