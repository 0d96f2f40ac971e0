"""Calls are timed by rule, and times that mean nothing are broken; the clocks here are injected."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import Clocks, Measurement, TimingPlan, judge, time_calls
from harness.verdict import Broken, Verdict

ENDLESS = TimingPlan(rounds=1000, seconds=1e9)


@dataclass
class Machine:
    """A call that takes given wall and CPU seconds on clocks that only it moves."""

    wall: list[float]
    cpu: list[float] = field(default_factory=lambda: [0.0])
    now: float = 100.0
    spent: float = 5.0
    calls: int = 0

    def __call__(self) -> None:
        self.now += self.wall[min(self.calls, len(self.wall) - 1)]
        self.spent += self.cpu[min(self.calls, len(self.cpu) - 1)]
        self.calls += 1

    def time(self, plan: TimingPlan) -> Measurement:
        return time_calls(self, plan, Clocks(wall=lambda: self.now, cpu=lambda: self.spent))


def measured(wall: tuple[float, ...], cpu: tuple[float, ...] = (), mean_of: int | None = None) -> Measurement:
    return Measurement(clock="host", wall=wall, cpu=cpu, warm_up=6, mean_of=mean_of)


class TestStopping:
    @given(st.integers(5, 40))
    def test_it_stops_after_the_rounds(self, rounds):
        found = Machine([0.125]).time(TimingPlan(rounds=rounds, seconds=1e9))
        assert found.wall == (0.125,) * rounds

    @given(st.integers(1, 60))
    def test_it_stops_once_the_seconds_are_over_but_not_before_five_calls(self, quarters):
        found = Machine([0.25]).time(TimingPlan(rounds=1000, seconds=quarters / 4))
        assert len(found.wall) == max(5, quarters)

    @pytest.mark.parametrize("seconds", [0.0, 0.5, 1e-9])
    def test_slow_calls_are_made_five_times_whatever_the_seconds(self, seconds):
        assert len(Machine([8.0]).time(TimingPlan(seconds=seconds)).wall) == 5

    def test_fewer_rounds_than_five_are_kept(self):
        assert len(Machine([8.0]).time(TimingPlan(rounds=2)).wall) == 2

    def test_samples_are_kept_call_by_call_as_they_were_taken_by_wall_and_cpu(self):
        machine = Machine([2.0, 2.0, 0.5, 0.25, 1.0], [1.0, 1.0, 0.25, 0.125, 0.5])
        found = machine.time(TimingPlan(rounds=3))
        assert found.warm_up == 2
        assert (found.wall, found.cpu) == ((0.5, 0.25, 1.0), (0.25, 0.125, 0.5))
        assert (found.clock, found.mean_of) == ("host", None)


class TestWarmUp:
    @pytest.mark.parametrize("wall", [[1.5], [0.5, 1.5], [3600.0]])
    def test_two_calls_at_most_where_one_takes_over_a_second(self, wall):
        machine = Machine(wall)
        found = machine.time(TimingPlan(rounds=5))
        assert found.warm_up == 2
        assert machine.calls == 7

    def test_steady_calls_need_six(self):
        assert Machine([0.25]).time(ENDLESS).warm_up == 6

    def test_a_slow_start_is_left_behind(self):
        found = Machine([0.9, 0.5, 0.25, *[0.125] * 50]).time(TimingPlan(rounds=5))
        assert set(found.wall) == {0.125}
        assert found.warm_up == 8

    def test_calls_that_never_settle_end_after_ten(self):
        assert Machine([0.5**step for step in range(1, 40)]).time(TimingPlan(rounds=5)).warm_up == 10

    @given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=30))
    def test_it_is_never_more_than_ten_calls_and_never_counted_as_samples(self, wall):
        machine = Machine(wall)
        found = machine.time(TimingPlan(rounds=5))
        assert 2 <= found.warm_up <= 10
        assert machine.calls == found.warm_up + len(found.wall)


class TestJudging:
    def test_times_pass_and_the_line_names_rate_batch_median_and_clock(self):
        answer = judge(measured((0.5, 0.25, 0.25), (0.5, 0.25, 0.25)), batch=8, threads=1)
        assert answer.verdict == Verdict.PASS
        assert answer.line == "32.0/s at batch 8 (median of 3 calls 250.00 ms, clock host)"
        assert answer.figures["throughput"] == 32.0
        assert answer.figures["latency_wall"] == (0.5, 0.25, 0.25)
        assert (answer.figures["rounds"], answer.figures["warm_up"], answer.figures["clock"]) == (3, 6, "host")

    def test_however_slow_it_is_no_failure(self):
        assert judge(measured((3600.0,), (3600.0,)), batch=1, threads=1).verdict == Verdict.PASS

    def test_a_backend_that_sleeps_is_broken_and_keeps_its_samples(self):
        found = Machine([0.25], [0.0625]).time(TimingPlan(rounds=5))
        answer = judge(found, batch=1, threads=1)
        assert answer.verdict == Verdict.BROKEN
        assert answer.line.startswith("the calls waited: smallest wall time 250.00 ms, smallest CPU time 62.50 ms")
        assert answer.figures["latency_wall"] == (0.25,) * 5

    def test_a_backend_that_uses_no_processor_at_all_is_broken(self):
        assert judge(measured((0.25,) * 5, (0.0,) * 5), batch=1, threads=1).verdict == Verdict.BROKEN

    def test_neighbours_that_stretch_some_calls_do_not_break_it(self):
        answer = judge(measured((4.0, 0.25, 4.0), (0.25, 0.25, 0.25)), batch=1, threads=1)
        assert answer.verdict == Verdict.PASS

    @pytest.mark.parametrize(("wall", "verdict"), [(0.75, Verdict.PASS), (0.7500001, Verdict.BROKEN)])
    def test_waiting_is_more_than_three_times_the_processor_time(self, wall, verdict):
        assert judge(measured((wall,), (0.25,)), batch=1, threads=1).verdict == verdict

    @pytest.mark.parametrize("threads", [2, 16])
    def test_on_several_threads_waiting_is_not_judged(self, threads):
        assert judge(measured((1.0,), (0.0,)), batch=1, threads=threads).verdict == Verdict.PASS

    @pytest.mark.parametrize("wall", [(), (0.0,), (0.5, 0.0, 0.5), (0.5, -0.5)], ids=["none", "zero", "one", "back"])
    def test_a_timer_that_measured_nothing_is_broken(self, wall):
        with pytest.raises(Broken, match=f"the timer measured nothing: {len(wall)} samples"):
            judge(measured(wall), batch=1, threads=1)

    def test_a_clock_that_stands_still_is_broken(self):
        with pytest.raises(Broken, match=r"smallest sample 0\.0 s"):
            judge(Machine([0.0]).time(TimingPlan(rounds=5)), batch=1, threads=1)

    def test_a_tool_that_gives_a_mean_keeps_it_as_one_figure(self):
        answer = judge(measured((0.004,), mean_of=50), batch=16, threads=1)
        assert answer.verdict == Verdict.PASS
        assert (answer.figures["mean_of"], answer.figures["latency_wall"]) == (50, (0.004,))
        assert answer.figures.get("latency_cpu_median") is None
        assert "mean of 50 calls" in answer.line

    def test_the_clocks_of_this_machine_give_a_sample_a_call(self):
        found = time_calls(lambda: sum(range(2000)), TimingPlan(rounds=7, seconds=60))
        assert len(found.wall) == len(found.cpu) == 7
        assert min(found.wall) > 0
