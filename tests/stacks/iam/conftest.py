from collections.abc import Callable
from typing import Any

import pytest

from tests.stacks.environments import EVERY
from tests.stacks.iam import golden_policies, security_doc
from tests.stacks.iam.policy_model import access

Templates = dict[str, dict[str, Any]]
Granted = golden_policies.Granted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="write the golden policies and docs/security.md anew")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "environment" in metafunc.fixturenames:
        metafunc.parametrize("environment", EVERY)


@pytest.fixture(scope="session")
def granted(templates: Callable[[str], Templates]) -> Callable[[str], Granted]:
    """Return what the templates of an environment grant, by the name of the role or resource policy."""
    made: dict[str, Granted] = {}

    def of(environment: str) -> Granted:
        if environment not in made:
            stacks = templates(environment).items()
            made[environment] = {k: v for stack, template in stacks for k, v in access(stack, template).items()}
        return made[environment]

    return of


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest, granted: Callable[[str], Granted]) -> Callable[[str], Granted]:
    """Return the golden policies of an environment; ``--accept`` writes them and docs/security.md anew first."""
    if request.config.getoption("--accept", default=False):
        every = {environment: granted(environment) for environment in EVERY}
        golden_policies.write(every)
        security_doc.write(golden_policies.merge(every))
    return golden_policies.read


@pytest.fixture(scope="session")
def environments() -> list[str]:
    return EVERY
