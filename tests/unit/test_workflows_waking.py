"""The planner's alarm clock: plans when poked, at the moment that was named, and again after an error; it ends when told to."""

from __future__ import annotations

import threading
import time

from governance.workflows.waking import Waker


class WallClock:
    def now(self) -> int:
        return time.time_ns()


class Plan:
    """Answers with what is to come; remembers how often it was asked."""

    def __init__(self, *answers) -> None:
        self._answers = list(answers)
        self._asked = threading.Condition()
        self.times = 0

    def __call__(self):
        with self._asked:
            self.times += 1
            self._asked.notify_all()
            answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None else time.time_ns() + answer

    def asked(self, times: int) -> bool:
        with self._asked:
            return self._asked.wait_for(lambda: self.times >= times, timeout=20)


def test_it_plans_at_the_start_when_poked_and_at_the_moment_that_was_named() -> None:
    plan = Plan(None, 50_000_000)
    waker = Waker(plan, WallClock())
    waker.start()
    assert plan.asked(1)
    waker.poke()
    assert plan.asked(2)
    assert plan.asked(3), "50 ms later, though nobody poked"
    waker.close()
    asked = plan.times
    waker.poke()
    time.sleep(0.05)
    assert plan.times == asked


def test_an_error_is_logged_without_its_words_and_the_next_look_tries_again(caplog) -> None:
    plan = Plan(ValueError("about applicant 17"))
    waker = Waker(plan, WallClock())
    waker.start()
    assert plan.asked(1)
    waker.poke()
    assert plan.asked(2)
    waker.close()
    assert "ValueError" in caplog.text
    assert "applicant" not in caplog.text


def test_one_that_was_never_started_can_be_poked_and_closed() -> None:
    plan = Plan()
    waker = Waker(plan, WallClock())
    waker.poke()
    waker.close()
    assert plan.times == 0
