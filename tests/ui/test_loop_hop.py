"""The hops of the proxy, with the window's loop in the place of asyncio's own."""

from tests.core.proxy.test_service_loop_hop import (
    test_a_caller_that_is_cancelled_cancels_the_work,
    test_a_failure_on_the_other_loop_is_raised_to_the_caller,
    test_a_loop_that_has_ended_fails_a_hop_at_once,
    test_closing_a_gate_fails_those_who_wait_and_those_who_come_later,
    test_two_loops_that_wait_for_each_other_end_together,
    test_work_hops_back_from_within_a_hop,
    test_work_that_is_cancelled_before_it_began_never_begins,
)

__all__ = [
    "test_a_caller_that_is_cancelled_cancels_the_work",
    "test_a_failure_on_the_other_loop_is_raised_to_the_caller",
    "test_a_loop_that_has_ended_fails_a_hop_at_once",
    "test_closing_a_gate_fails_those_who_wait_and_those_who_come_later",
    "test_two_loops_that_wait_for_each_other_end_together",
    "test_work_hops_back_from_within_a_hop",
    "test_work_that_is_cancelled_before_it_began_never_begins",
]
