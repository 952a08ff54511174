"""The instances of one production variant: choosing, resizing, replacing those that crash."""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from local.sagemaker.endpoint.instance import Instance, InstanceGoneError

log = logging.getLogger(__name__)


class Fleet:
    """A changing set of running instances.

    Requests read `instances`, which is replaced as a whole and never modified; changes are made one at a time.
    `active` is how many of them take requests, None for all.

    Parameters
    ----------
    make
        Makes an instance that is not yet started.
    least_outstanding
        Choose among the instances with the fewest requests in flight instead of among all
        (``RoutingConfig`` of a production variant; SageMaker's default is ``RANDOM``).
    """

    def __init__(self, make: Callable[[], Instance], *, least_outstanding: bool = False) -> None:
        self.instances: tuple[Instance, ...] = ()
        self.active: int | None = None
        self._make = make
        self._least_outstanding = least_outstanding
        self._changing = threading.Lock()
        self._size = 0
        self._stopped = False

    @property
    def serving(self) -> tuple[Instance, ...]:
        """The instances that take requests."""
        return self.instances[: self.active]

    def pick(self) -> Instance:
        """Choose an instance for a request.

        Raises
        ------
        InstanceGoneError
            There is none at the moment.
        """
        instances = self.serving
        if not instances:
            raise InstanceGoneError("no instance")
        if self._least_outstanding:
            fewest = min(instance.in_flight for instance in instances)
            instances = tuple(instance for instance in instances if instance.in_flight == fewest) or instances
        return random.choice(instances)  # noqa: S311 - routing needs no secret

    def resize(self, size: int) -> None:
        """Start or stop instances until there are `size`; each new one takes requests as soon as it is healthy.

        Raises
        ------
        InstanceError
            An instance did not start; those that did stay.
        """
        with self._changing:
            if self._stopped:
                return
            try:
                self._start(size - len(self.instances))
            finally:
                leaving, self.instances = self.instances[size:], self.instances[:size]
                self._size = len(self.instances)
            _run_on_all(Instance.stop, leaving)

    def heal(self) -> None:
        """Replace instances that are missing because their process has ended, unless a change is under way.

        Raises
        ------
        InstanceError
            A replacement did not start.
        """
        if sum(instance.alive for instance in self.instances) == self._size:
            return
        if not self._changing.acquire(blocking=False):
            return
        try:
            dead = [instance for instance in self.instances if not instance.alive]
            self.instances = tuple(instance for instance in self.instances if instance.alive)
            for instance in dead:
                log.warning("instance %s of %s has ended", instance.id, instance.spec.endpoint)
            _run_on_all(Instance.stop, dead)
            if not self._stopped:
                self._start(self._size - len(self.instances))
        finally:
            self._changing.release()

    def stop(self) -> None:
        """Drain and stop every instance, for good."""
        self._stopped = True
        with self._changing:
            leaving, self.instances = self.instances, ()
            _run_on_all(Instance.stop, leaving)

    def _start(self, count: int) -> None:
        def start(instance: Instance) -> None:
            instance.start()
            with joining:
                self.instances = (*self.instances, instance)

        joining = threading.Lock()
        _run_on_all(start, [self._make() for _ in range(count)])


def _run_on_all(action: Callable[[Instance], None], instances: tuple[Instance, ...] | list[Instance]) -> None:
    """Do something to all instances at once; the first failure is raised after all are done."""
    if not instances:
        return
    with ThreadPoolExecutor(len(instances)) as threads:
        done = [threads.submit(action, instance) for instance in instances]
    for outcome in done:
        outcome.result()
