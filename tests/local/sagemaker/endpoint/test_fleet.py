from typing import Any, cast

import pytest

from local.core.errors import InstanceError
from local.sagemaker.endpoint.fleet import Fleet
from local.sagemaker.endpoint.instance import Instance, InstanceGoneError, InstanceSpec


class FakeInstance:
    """Has what a fleet asks of an instance."""

    def __init__(self, made: "list[FakeInstance]", *, fails: bool = False) -> None:
        self.id = f"i-{len(made)}"
        self.spec = InstanceSpec("endpoint", "variant", {}, 1, 1)
        self.alive = False
        self.in_flight = 0
        self._fails = fails
        made.append(self)

    def start(self) -> None:
        if self._fails:
            raise InstanceError("did not start")
        self.alive = True


@pytest.fixture
def made() -> list[FakeInstance]:
    return []


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record the instances that are stopped."""
    found: list[Any] = []

    def stop(instance: Any) -> None:
        instance.alive = False
        found.append(instance)

    monkeypatch.setattr(Instance, "stop", stop)
    return found


def fleet_of(made: list[FakeInstance], **options: bool) -> Fleet:
    return Fleet(lambda: cast("Instance", FakeInstance(made)), **options)


def test_a_fleet_starts_and_stops_instances(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made)
    fleet.resize(3)
    assert len(fleet.instances) == 3
    fleet.resize(1)
    assert len(fleet.instances) == 1
    assert len(stopped) == 2
    fleet.stop()
    assert fleet.instances == ()
    assert not any(instance.alive for instance in made)


def test_an_empty_fleet_has_nobody_to_ask(made: list[FakeInstance]) -> None:
    with pytest.raises(InstanceGoneError):
        fleet_of(made).pick()


def test_least_outstanding_requests_prefers_the_idle_instance(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made, least_outstanding=True)
    fleet.resize(3)
    for instance, requests in zip(made, (2, 0, 1), strict=True):
        instance.in_flight = requests
    assert fleet.pick() is cast("Instance", made[1])


def test_least_outstanding_requests_reaches_every_idle_instance(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made, least_outstanding=True)
    fleet.resize(3)
    made[1].in_flight = 1
    assert {fleet.pick().id for _ in range(200)} == {"i-0", "i-2"}


def test_random_routing_reaches_every_instance(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made)
    fleet.resize(3)
    assert {fleet.pick().id for _ in range(200)} == {"i-0", "i-1", "i-2"}


def test_a_crashed_instance_is_replaced_once(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made)
    fleet.resize(2)
    made[0].alive = False
    fleet.heal()
    fleet.heal()
    assert {instance.id for instance in fleet.instances} == {"i-1", "i-2"}


def test_a_replacement_that_failed_is_tried_again(made: list[FakeInstance], stopped: list[Any]) -> None:
    fails = [False, True, False]
    fleet = Fleet(lambda: cast("Instance", FakeInstance(made, fails=fails[len(made)])))
    fleet.resize(1)
    made[0].alive = False
    with pytest.raises(InstanceError):
        fleet.heal()
    assert not fleet.instances
    fleet.heal()
    assert [instance.id for instance in fleet.instances] == ["i-2"]


def test_instances_that_started_stay_when_others_did_not(made: list[FakeInstance], stopped: list[Any]) -> None:
    fails = [False, False, True]
    fleet = Fleet(lambda: cast("Instance", FakeInstance(made, fails=fails[len(made)])))
    with pytest.raises(InstanceError):
        fleet.resize(3)
    assert len(fleet.instances) == 2
    fleet.heal()
    assert len(made) == 3


def test_a_stopped_fleet_starts_nothing_more(made: list[FakeInstance], stopped: list[Any]) -> None:
    fleet = fleet_of(made)
    fleet.stop()
    fleet.resize(2)
    fleet.heal()
    assert made == []
