import math

from cnlrn.training.guard import LossGuard, Verdict


def test_ordinary_losses_are_taken() -> None:
    guard = LossGuard()
    assert {guard.judge(0.1 + 0.01 * i, 1.0) for i in range(50)} == {Verdict.TAKE}


def test_a_single_bad_step_is_skipped() -> None:
    guard = LossGuard([0.1] * 30)
    assert guard.judge(math.nan, 1.0) is Verdict.SKIP
    assert guard.judge(0.1, math.inf) is Verdict.SKIP
    assert guard.judge(1.1, 1.0) is Verdict.SKIP
    assert guard.judge(0.9, 1.0) is Verdict.TAKE
    assert guard.judge(1.1, 1.0) is Verdict.SKIP


def test_the_fifth_bad_step_in_a_row_goes_back() -> None:
    guard = LossGuard([0.1] * 30)
    assert [guard.judge(5.0, 1.0) for _ in range(5)] == [Verdict.SKIP] * 4 + [Verdict.GO_BACK]


def test_a_high_loss_at_the_start_of_a_run_is_taken() -> None:
    guard = LossGuard([0.1] * 5)
    assert guard.judge(50.0, 1.0) is Verdict.TAKE
