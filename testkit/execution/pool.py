"""The pool: worker processes that pull one lease at a time, watched by a parent that outlives whatever tests do to them.

The parent has no thread of its own: it forks, which does not go with threads. Everything happens in one loop over the
pipes and the sentinels of the workers.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from testkit.core.clock import clock
from testkit.core.errors import TestkitError
from testkit.core.events import Fact, WorkerStarted
from testkit.execution.channel import Message
from testkit.execution.ids import Tests, is_failed_import
from testkit.execution.leases import Lease
from testkit.execution.limits import NO_LIMITS, ONCE, Limits, Policy
from testkit.execution.losses import end_of, loss_of, quarantined
from testkit.execution.members import STACK_TIME, TERMINATION, Member, Running, State
from testkit.execution.outputs import Files
from testkit.execution.processes import end_marked, ending_of, kill_group, mark_of, undisturbed
from testkit.execution.watchdog import Watchdog
from testkit.execution.worker import CUT_OFF, Assignment, Control, Surrounding, main
from testkit.selection.order import Fresh, Queue, Unit

TICK = 0.2
"""Seconds after which the loop looks at the clock when nothing happens."""
FLUSH = 0.01
"""Seconds after which it looks whether a pipe takes more of a long lease."""
DEATHS_OF_A_CLASS = 2
"""How many workers a class may take with it; what is left of it does not run."""
STARTS = 3
"""How often in a row workers may die before they are ready."""


class Plan(NamedTuple):
    """What the workers of a run are: how many, how they are started, what is set up in each."""

    workers: int
    start_method: str
    surroundings: Callable[[str], Sequence[Surrounding]]
    """Makes what the worker of that name needs (its database), and returns what it is to set up."""
    suite: str
    """The dotted path of the suite class."""
    recording: Mapping[str, bool]
    """Options of the recorder."""
    folder: Path
    """A folder of the run for files of its workers."""


def _ignore(*_: Any) -> None:
    """Stand in for what nobody wants to hear."""


class Pool:
    """Runs the units of a queue in worker processes and publishes what they tell."""

    def __init__(
        self,
        plan: Plan,
        queue: Queue,
        tests: Tests,
        publish: Callable[[Fact], None],
        *,
        limits: Limits = NO_LIMITS,
        policy: Policy = ONCE,
        tell: Callable[[str], None] = _ignore,
        tick: Callable[[], None] = _ignore,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Make a pool.

        Args:
            plan: what the workers are.
            queue: what they run.
            tests: the test cases by id, which forked workers inherit.
            publish: gets every fact.
            limits: how long things may take.
            policy: what is tried again.
            tell: gets what is to be told to the user and is no fact.
            tick: is called several times a second.
            watchdog: ends the workers when this process is killed.
        """
        self._plan, self._queue, self._tests = plan, queue, tests
        self._publish = publish
        self._limits, self._policy = limits, policy
        self._tell, self._tick, self._watchdog = tell, tick, watchdog
        self._context: Any = multiprocessing.get_context(plan.start_method)
        self._selector = selectors.DefaultSelector()
        self._members: dict[str, Member] = {}
        self._deaths: Counter[str] = Counter()
        self._broken: set[tuple[str, str]] = set()
        self._failed_starts = 0
        self._launched = 0
        self._told: set[str] = set()
        self._stops = False
        self._control_path = plan.folder / "control"
        self._control_path.write_bytes(b"\0")
        self._control = Control(self._control_path)

    def run(self) -> None:
        """Run until nothing is left to run, or :meth:`stop` was called and the running tests have ended.

        However it is left, no worker process stays behind.

        Raises:
            TestkitError: workers cannot be started.
        """
        try:
            for number in range(self._plan.workers):
                if len(self._queue) and not self._stops:
                    self._launch(str(number + 1))
                    self._turn(0.0)
            while self._members:
                self._turn(TICK)
        except BaseException as error:
            with undisturbed():
                self._end_now(str(error) or type(error).__name__)
            raise
        finally:
            self._selector.close()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop, by a test if by nobody else."""
        return self._stops

    def stop(self) -> None:
        """Begin no further test; those that run may end."""
        self._stops = True
        self._control.stop()

    # Starting workers

    def _launch(self, name: str) -> None:
        self._launched += 1
        mark = mark_of(str(self._plan.folder), f"{name}.{self._launched};")
        files = Files.of_worker(self._plan.folder, name)
        files.create()
        leases, our_leases = self._context.Pipe(duplex=False)
        our_facts, facts = self._context.Pipe(duplex=False)
        assignment = Assignment(
            worker=name,
            mark=mark,
            files=files,
            control=self._control_path,
            leases=leases,
            facts=facts,
            surroundings=tuple(self._plan.surroundings(name)),
            suite=self._plan.suite,
            recording=self._plan.recording,
            path=tuple(os.path.abspath(entry) for entry in sys.path),
        )
        arguments: tuple[Any, ...] = (assignment,)
        if self._plan.start_method == "fork":
            strangers = [our_leases.fileno(), our_facts.fileno()]
            if self._watchdog is not None:
                strangers.append(self._watchdog.descriptor)
            strangers += [descriptor for member in self._members.values() for descriptor in member.descriptors]
            arguments = (assignment, self._tests, strangers)
        process = self._context.Process(target=main, args=arguments, name=f"testkit-{name}")
        with warnings.catch_warnings():
            # A project may have threads from its start; what forks with them is this process's concern, not a test's.
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            process.start()
        leases.close()
        facts.close()
        with suppress(OSError):
            os.setpgid(process.pid, process.pid)  # here and there, as either may come first
        if self._watchdog is not None:
            self._watchdog.watch_group(process.pid)
        member = self._members[name] = Member(name, process, mark, files, our_facts, our_leases)
        self._selector.register(our_facts.fileno(), selectors.EVENT_READ, member)
        self._selector.register(process.sentinel, selectors.EVENT_READ, member)
        self._queue.renewed(name)
        self._feed(member)  # at once: it finds the lease when it is ready

    # The loop

    def _turn(self, timeout: float) -> None:
        for key, _ in self._selector.select(self._time_to(timeout)):
            self._hear(key.data)
            if key.data.is_mute and key.fd in key.data.descriptors:
                self._selector.unregister(key.fd)  # when it is dead its sentinel says so
        now = clock.seconds()
        for member in list(self._members.values()):
            if member.process.exitcode is None:
                member.look_after(now, self._limits, self._tell)
            else:
                self._hear(member)
                self._bury(member)
        for member in list(self._members.values()):
            if member.state is State.IDLE:
                self._feed(member)
        self._tick()

    def _time_to(self, timeout: float) -> float:
        """Return the seconds until something is due, at most ``timeout``."""
        if [member for member in self._members.values() if member.flush()]:
            timeout = min(timeout, FLUSH)
        steps = [member.steps[0][0] for member in self._members.values() if member.steps]
        return max(0.0, min([timeout, *(step - clock.seconds() for step in steps)]))

    def _hear(self, member: Member) -> None:
        for said in member.read():
            if isinstance(said, Message):
                self._take_message(member, said)
            else:
                self._take_fact(member, said)

    def _take_message(self, member: Member, message: Message) -> None:
        match message.kind:
            case "ready":
                self._failed_starts, member.is_ready = 0, True
                self._publish(WorkerStarted(worker=member.name, at=clock.now(), pid=member.pid))
                if member.state is State.STARTING:
                    member.enter(State.BUSY if member.lease else State.IDLE)
            case "done":
                if message.data["stopped"]:
                    self.stop()
                self._end_lease(member)
                if member.state is State.BUSY:
                    member.enter(State.IDLE)
                    self._feed(member)
            case "told":
                for line in message.data["lines"]:
                    if line not in self._told:
                        self._told.add(line)
                        self._tell(line)
            case "failed":
                member.reason = str(message.data["text"])

    def _take_fact(self, member: Member, fact: Fact) -> None:
        member.note(fact, self._limits)
        for each in member.lease.heard(fact) if member.lease else (fact,):
            self._publish(each)

    # Leases

    def _feed(self, member: Member) -> None:
        """Give ``member`` its next lease, or an end if there is none for it any more."""
        if self._stops:
            self._dismiss(member)
            return
        leased = self._queue.lease(member.name, clock.seconds(), len(self._members) - 1)
        if isinstance(leased, Fresh):
            self._dismiss(member)
        elif leased:
            member.lease = lease = Lease(leased, self._policy.retries, self._broken)
            if member.state is State.IDLE:
                member.enter(State.BUSY)
            member.send("lease", attempt=lease.attempt, tests=lease.tests, failed=self._failed_imports(lease))
        elif not len(self._queue) and not any(other.lease for other in self._members.values()):
            self._dismiss(member)  # or else something may come back from the others

    def _failed_imports(self, lease: Lease) -> dict[str, tuple[str, str]]:
        """Return the type and the message of what could not be imported: a worker would look for it in vain."""
        if self._plan.start_method == "fork":
            return {}
        errors = {id: self._tests[id][0]._exception for id, _ in lease.tests if is_failed_import(self._tests[id][0])}
        return {id: (type(error).__name__, str(error)) for id, error in errors.items()}

    def _dismiss(self, member: Member) -> None:
        if member.state in (State.STARTING, State.IDLE):
            member.enter(State.ENDING)
            member.send("end")

    def _end_lease(self, member: Member) -> None:
        lease, member.lease = member.lease, None
        if lease is None:
            return
        self._queue.release(lease.units)
        if not self._stops:
            for unit in lease.retries(member.name, clock.seconds() + self._policy.pause()):
                self._queue.add(unit)

    # Ending

    def _bury(self, member: Member) -> None:
        """Settle what a worker process that has ended leaves behind, and put another in its place if there is need."""
        # What its tests have started, also in a session of its own.
        kill_group(member.pid, signal.SIGKILL)
        end_marked(member.mark)
        if self._watchdog is not None:
            self._watchdog.forget_group(member.pid)
        for descriptor in (member.descriptors[0], member.process.sentinel):
            with suppress(KeyError):
                self._selector.unregister(descriptor)
        member.close()
        del self._members[member.name]
        if not member.was_done:
            self._account_for(member)
        elif member.reason:
            self._tell(f"worker {member.name} did not end well: {member.reason}")
        member.process.join()
        if len(self._queue) and not self._stops:
            self._launch(member.name)

    def _account_for(self, member: Member) -> None:
        """Publish the loss of a worker and the end of what it was at, and give the rest of its lease to others."""
        how = member.reason or ending_of(member.process.exitcode or 0, CUT_OFF)
        running, lease = member.at_fault(), member.lease
        self._publish(loss_of(member, how, running))
        if not member.is_ready:
            self._count_failed_start(member, how)
        elif running is not None and lease is not None:
            for each in lease.heard(end_of(running, member, how)):
                self._publish(each)
        else:
            self._tell(f"worker {member.name} was lost between tests: {how}\n{member.evidence}".rstrip())
        if lease is not None:
            self._give_back(member, lease, running)

    def _count_failed_start(self, member: Member, how: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            raise TestkitError(
                f"worker processes cannot be started ({self._failed_starts} in a row died before they were ready): "
                f"{how}\n{member.evidence}"
            )

    def _give_back(self, member: Member, lease: Lease, running: Running | None) -> None:
        rest = list(lease.rest())
        self._end_lease(member)
        for unit in rest:
            self._queue.add(unit)
        if not member.is_ready:
            return
        guilty = next((unit.key for unit in lease.units if _has(unit, running)), rest[0].key if rest else "")
        self._deaths[guilty] += 1
        if self._deaths[guilty] >= DEATHS_OF_A_CLASS:
            for unit in self._queue.take_out(guilty):
                for fact in quarantined(unit, self._deaths[guilty]):
                    self._publish(fact)

    def _end_now(self, reason: str) -> None:
        """End all workers at once; the tests that they are at are errors that say where they were."""
        members = list(self._members.values())
        for member in members:
            if member.running:
                member.ask_for_stacks()
        if any(member.running for member in members):
            time.sleep(STACK_TIME)
        for member in members:
            member.end_with(signal.SIGKILL)
        for member in members:
            member.process.join(TERMINATION)
            end_marked(member.mark)
            self._hear(member)
            if member.running is not None and member.lease is not None:
                for each in member.lease.heard(end_of(member.running, member, reason, interrupted=True)):
                    self._publish(each)
            member.close()
        self._members.clear()


def _has(unit: Unit, running: Running | None) -> bool:
    if running is None:
        return False
    id = running.fact.id
    return unit.key == id or any(id == test or test.startswith(f"{id}.") for test, _ in unit.tests)
