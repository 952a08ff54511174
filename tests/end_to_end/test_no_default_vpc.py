"""An account without a default VPC, as landing zones make them; then it has one again, for the files after this."""

from tests.end_to_end.project import Deployment, Model


def test_every_other_stack_is_deployed_before_the_one_that_fails_with_the_name_of_the_setting(
    bootstrapped: Deployment, first: Model
) -> None:
    bootstrapped.delete_default_vpc()
    try:
        printed = bootstrapped.roll_out(first, check=False)
    finally:
        bootstrapped.ec2.create_default_vpc()
    assert [bootstrapped.status(noun) for noun in ("Storage", "Endpoint", "Api", "Monitoring")] == 4 * [
        "CREATE_COMPLETE"
    ]
    assert bootstrapped.status("Training") == "ROLLBACK_COMPLETE"
    failed = [line for line in printed.splitlines() if "CREATE_FAILED" in line]
    assert failed
    for line in failed:
        assert "training.network is not set" in line
        assert "No default VPC for this user" in line
