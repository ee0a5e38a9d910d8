"""Comparison of two runs: worked examples, independent computations, symmetries, and behaviour under the null."""

import itertools
import json
from collections.abc import Callable
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thymos.errors import ProtocolError
from thymos.scoring.metrics import Level
from thymos.scoring.paired import Comparison, FinishedRun, compare_runs, holm_corrected, sentence
from thymos.scoring.significance import McNemar, TTest, bootstrap_difference, corrected_t_test, holm, mcnemar

LABELS = ["anger", "fear", "sadness"]
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def make_run(
    right: Callable[[int, int], bool],
    folds: list[list[int]],
    repeats: int = 1,
    n_train: int | None = None,
    segments: int = 1,
    labels: list[str] = LABELS,
) -> FinishedRun:
    """A run whose decision on recording ``i`` in ``repeat`` is right where ``right(i, repeat)``."""
    clips = sum(map(len, folds))
    rows, facts = [], []
    for repeat, (number, fold) in itertools.product(range(repeats), enumerate(folds)):
        facts.append({"repeat": repeat, "fold": number, "train_clips": n_train or clips - len(fold)})
        for i, start in itertools.product(fold, range(segments)):
            truth = LABELS[i % 3]
            chosen = truth if right(i, repeat) else LABELS[(i + 1) % 3]
            row = {"clip": f"{truth}/{i:03}.wav", "start_s": start, "end_s": start + 1, "repeat": repeat}
            row |= {"fold": number, "speaker": str(i % 2), "truth": truth}
            rows.append(row | {f"p_{label}": 0.8 if label == chosen else 0.1 for label in labels})
    return FinishedRun({"recipe": {"name": "toy"}, "labels": labels, "folds": facts}, pd.DataFrame(rows))


def folds_of(clips: int, count: int) -> list[list[int]]:
    return [list(range(clips))[start::count] for start in range(count)]


def make_comparison(
    t_test: TTest | None = None, interval: tuple[float, float] = (-0.1, 0.1), p: float = 0.5
) -> Comparison:
    reason = None if t_test else "the folds differ"
    return Comparison(
        "recording", 100, 0, 0, 0.5, 0.5 + sum(interval) / 2, sum(interval) / 2, interval, t_test, reason,
        McNemar(10, 10, p),
    )  # fmt: skip


class TestTTest:
    DIFFERENCES = (0.05, 0.02, 0.08, -0.01, 0.06, 0.04, 0.03, 0.07, 0.00, 0.05)

    def test_is_the_paired_t_test_with_its_variance_enlarged(self) -> None:
        base = np.linspace(0.5, 0.7, 10)
        uncorrected = stats.ttest_rel(base + self.DIFFERENCES, base)
        by_hand = uncorrected.statistic * np.sqrt((1 / 10) / (1 / 10 + 120 / 480))
        found = corrected_t_test(self.DIFFERENCES, n_train=480, n_test=120)
        assert found.t == pytest.approx(by_hand)
        assert found.p == pytest.approx(2 * (1 - stats.t.cdf(abs(by_hand), 9)))
        assert found.df == 9
        assert found.difference == pytest.approx(0.039)

    def test_agrees_with_a_computation_by_hand(self) -> None:
        # Mean 3, s² = 2.5, J = 5, n_test/n_train = 1/4: error √(0.45 · 2.5) = 1.06066; t(0.975, 4) = 2.776445.
        found = corrected_t_test([1, 2, 3, 4, 5], n_train=400, n_test=100)
        assert found.t == pytest.approx(2.828427, abs=1e-6)
        assert found.ci95 == pytest.approx((3 - 2.944866, 3 + 2.944866), abs=1e-5)
        assert found.p == pytest.approx(0.047421, abs=1e-5)

    def test_tends_to_the_plain_t_test_with_a_tiny_test_part(self) -> None:
        plain = stats.ttest_1samp(self.DIFFERENCES, 0)
        found = corrected_t_test(self.DIFFERENCES, n_train=1e12, n_test=1)
        assert found.p == pytest.approx(plain.pvalue)
        assert found.ci95 == pytest.approx(tuple(plain.confidence_interval()))

    @pytest.mark.slow
    @given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.floats(0.05, 1))
    def test_swapping_the_runs_turns_the_sign(self, differences: list[float], ratio: float) -> None:
        if np.ptp(differences) < 1e-6:
            return
        one = corrected_t_test(differences, 1, ratio)
        two = corrected_t_test([-value for value in differences], 1, ratio)
        assert (two.difference, two.t, two.p) == pytest.approx((-one.difference, -one.t, one.p))
        assert two.ci95 == pytest.approx((-one.ci95[1], -one.ci95[0]))
        assert (one.p <= 0.05) == (not one.ci95[0] <= 0 <= one.ci95[1]) or one.p == pytest.approx(0.05)

    @pytest.mark.parametrize("differences", [[], [0.1], [0.1, 0.1, 0.1], [0.0, 0.0]])
    def test_does_not_judge_without_spread(self, differences: list[float]) -> None:
        with pytest.raises(ProtocolError):
            corrected_t_test(differences, 4, 1)

    @pytest.mark.parametrize(("value", "n_train", "n_test"), [(np.nan, 4, 1), (0.1, 0, 1), (0.1, 4, -1)])
    def test_refuses_nonsense(self, value: float, n_train: int, n_test: int) -> None:
        with pytest.raises(ValueError, match="finite"):
            corrected_t_test([value, 0.2], n_train, n_test)


@pytest.mark.slow
class TestUnderTheNull:
    def test_p_values_are_uniform_where_the_correction_is_exact(self) -> None:
        # The correction supposes a correlation of n_test / (n_train + n_test) between folds; then t is exactly t.
        random, (folds, n_train, n_test) = np.random.default_rng(1), (10, 400, 100)
        shared = n_test / (n_train + n_test)
        common, own = random.normal(size=(2000, 1)), random.normal(size=(2000, folds))
        drawn = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        p = [corrected_t_test(differences, n_train, n_test).p for differences in drawn]
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert np.mean([stats.ttest_1samp(differences, 0).pvalue for differences in drawn]) < 0.4

    def test_rejects_rarely_where_two_learners_are_equally_good(self) -> None:
        # Two nearest-mean classifiers, each on its own, equally telling feature; 3 × 5 folds of 60 recordings.
        random, trials, corrected, plain = np.random.default_rng(2), 300, 0, 0
        for _ in range(trials):
            truth = np.arange(60) % 2
            features = random.normal(size=(60, 2)) + 0.8 * truth[:, None]
            differences = []
            for _ in range(3):
                for test in np.array_split(random.permutation(60), 5):
                    train = np.setdiff1d(np.arange(60), test)
                    means = [features[train][truth[train] == word].mean(0) for word in (0, 1)]
                    closer = np.abs(features[test] - means[1]) < np.abs(features[test] - means[0])
                    right = (closer == truth[test][:, None]).mean(0)
                    differences.append(right[1] - right[0])
            corrected += corrected_t_test(differences, 48, 12).p <= 0.05
            plain += stats.ttest_1samp(differences, 0).pvalue <= 0.05
        assert corrected / trials <= 0.06
        assert plain / trials > 0.15, "without the correction, far too often"

    def test_mcnemar_rejects_at_most_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(3)
        p = [mcnemar(*(random.random((2, 120)) < 0.6)).p for _ in range(1000)]
        assert np.mean(np.array(p) <= 0.05) <= 0.06

    def test_the_bootstrap_interval_covers(self) -> None:
        random, trials, covered = np.random.default_rng(4), 300, 0
        for trial in range(trials):
            hits = random.random((150, 2)) < (0.5, 0.6)
            counts = [np.column_stack([hits[:, run], np.ones(150)]).astype(float) for run in (0, 1)]
            low, high = bootstrap_difference(*counts, seed=trial, draws=300)
            covered += low <= 0.1 <= high
        assert 0.91 <= covered / trials <= 0.985


class TestMcNemar:
    @pytest.mark.parametrize(("b", "c", "p"), [(0, 0, 1), (0, 6, 2 / 64), (1, 5, 14 / 64), (3, 3, 1), (5, 1, 14 / 64)])
    def test_worked_examples(self, b: int, c: int, p: float) -> None:
        base = np.array([True] * b + [False] * c + [True, False])
        other = np.array([False] * b + [True] * c + [True, False])
        assert mcnemar(base, other) == McNemar(b, c, pytest.approx(p))

    @settings(max_examples=40)
    @given(st.integers(0, 5), st.integers(0, 5))
    def test_agrees_with_counting_every_outcome(self, b: int, c: int) -> None:
        base = np.array([True] * b + [False] * c, bool)
        sums = [sum(flips) for flips in itertools.product((0, 1), repeat=b + c)]
        extreme = sum(abs(2 * hits - b - c) >= abs(b - c) for hits in sums)
        assert mcnemar(base, ~base).p == pytest.approx(extreme / len(sums))


class TestHolm:
    def test_a_known_table(self) -> None:
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_the_fifteen_endpoints_of_benjamini_and_hochberg(self) -> None:
        # Benjamini & Hochberg (1995), J. R. Statist. Soc. B 57:289–300, section 4.1, where methods that keep the
        # family-wise error rate at 0.05 reject the first three.
        p = [1e-4, 4e-4, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759]
        adjusted = holm([*p, 1.0])
        assert adjusted[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114])
        assert (adjusted <= 0.05).sum() == 3

    @pytest.mark.slow
    @given(P_VALUES, st.randoms())
    def test_lies_between_p_and_bonferroni_and_follows_the_order(self, p: list[float], random: Random) -> None:
        adjusted = holm(p)
        assert (adjusted >= p).all()
        assert (adjusted <= np.minimum(1, len(p) * np.array(p))).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
        order = random.sample(range(len(p)), len(p))
        assert holm([p[i] for i in order]) == pytest.approx(adjusted[order])

    @given(P_VALUES)
    def test_rejects_what_the_step_down_procedure_rejects(self, p: list[float]) -> None:
        rejected = set()
        for step, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[i] * (len(p) - step) > 0.05:
                break
            rejected.add(i)
        assert set(np.flatnonzero(holm(p) <= 0.05)) == rejected

    def test_takes_an_empty_table_and_no_nonsense(self) -> None:
        assert holm([]).size == 0
        for wrong in (1.2, -0.1, np.nan):
            with pytest.raises(ValueError, match="between 0 and 1"):
                holm([0.5, wrong])


class TestCompareRuns:
    def test_agrees_with_independent_computations(self) -> None:
        random = np.random.default_rng(5)
        hits = random.random((2, 60)) < [[0.5], [0.7]]
        folds = folds_of(60, 5)
        found = compare_runs(*(make_run(lambda i, _, own=own: bool(own[i]), folds) for own in hits))
        by_fold = np.array([[own[fold].mean() for fold in folds] for own in hits])
        expected = stats.ttest_rel(by_fold[1], by_fold[0]).statistic * np.sqrt((1 / 5) / (1 / 5 + 12 / 48))
        assert found.t_test is not None
        assert found.no_t_test is None
        assert found.t_test.t == pytest.approx(expected)
        assert (found.mcnemar.b, found.mcnemar.c) == ((hits[0] & ~hits[1]).sum(), (hits[1] & ~hits[0]).sum())
        assert found.difference == pytest.approx(hits[1].mean() - hits[0].mean())
        assert (found.recordings, found.base_only, found.other_only) == (60, 0, 0)
        reference = stats.bootstrap(
            (hits[0].astype(float), hits[1].astype(float)),
            lambda base, other, axis: other.mean(axis) - base.mean(axis),
            paired=True, vectorized=True, method="percentile", n_resamples=5000, rng=6,
        ).confidence_interval  # fmt: skip
        assert found.bootstrap_ci95 == pytest.approx((reference.low, reference.high), abs=0.02)

    @pytest.mark.slow
    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from(["segment", "recording"]))
    def test_swapping_the_runs_turns_everything(self, seed: int, count: int, level: Level) -> None:
        hits = np.random.default_rng(seed).random((2, 2, 20)) < 0.6
        runs = [
            make_run(lambda i, repeat, own=own: bool(own[repeat, i]), folds_of(20, count), repeats=2) for own in hits
        ]
        one, two = compare_runs(*runs, level), compare_runs(*reversed(runs), level)
        assert two.difference == -one.difference
        assert two.bootstrap_ci95 == pytest.approx((-one.bootstrap_ci95[1], -one.bootstrap_ci95[0]))
        assert two.mcnemar == McNemar(one.mcnemar.c, one.mcnemar.b, one.mcnemar.p)
        assert two.no_t_test == one.no_t_test
        assert two.shown == one.shown
        if one.t_test and two.t_test:
            assert (two.t_test.t, two.t_test.p) == pytest.approx((-one.t_test.t, one.t_test.p))

    def test_other_folds_leave_the_t_test_out_and_the_rest_in(self) -> None:
        base = make_run(lambda i, _: i % 2 == 0, folds_of(30, 5))
        other = make_run(lambda i, _: i % 3 != 0, [list(range(30))[i : i + 6] for i in range(0, 30, 6)])
        found = compare_runs(base, other)
        assert found.t_test is None
        assert found.no_t_test == "the folds differ: repeat 1 fold 1 tests other recordings in one run than the other"
        assert found.p == found.mcnemar.p
        assert found.difference == pytest.approx(20 / 30 - 15 / 30)

    def test_training_parts_of_other_sizes_leave_the_t_test_out(self) -> None:
        base, other = (make_run(lambda i, _: i % 3 == 0, folds_of(30, 5), n_train=size) for size in (24, 20))
        assert "trains on 24 recordings in one run and 20 in the other" in (compare_runs(base, other).no_t_test or "")

    def test_a_run_and_itself(self) -> None:
        run = make_run(lambda i, _: i % 3 == 0, folds_of(30, 5))
        found = compare_runs(run, run)
        assert (found.difference, found.bootstrap_ci95, found.mcnemar) == (0, (0, 0), McNemar(0, 0, 1))
        assert "no spread" in (found.no_t_test or "")
        assert not found.shown

    def test_only_recordings_that_both_tested_count(self) -> None:
        base = make_run(lambda i, _: i < 10, [list(range(20))])
        other = make_run(lambda i, _: i < 15, [list(range(5, 30))])
        found = compare_runs(base, other)
        assert (found.recordings, found.base_only, found.other_only) == (15, 5, 10)
        assert (found.base_accuracy, found.other_accuracy) == (5 / 15, 10 / 15)
        assert found.mcnemar == McNemar(0, 5, 2 / 32)

    def test_mcnemar_takes_the_first_repeat_and_accuracy_all(self) -> None:
        base = make_run(lambda i, repeat: i % 2 == repeat, folds_of(12, 3), repeats=2)
        other = make_run(lambda i, repeat: repeat == 0, folds_of(12, 3), repeats=2)
        found = compare_runs(base, other)
        assert (found.mcnemar.b, found.mcnemar.c) == (0, 6)
        assert (found.base_accuracy, found.other_accuracy) == (0.5, 0.5)
        assert found.t_test is not None
        assert found.t_test.df == 5

    def test_runs_of_more_and_fewer_repeats_share_the_folds_of_the_fewer(self) -> None:
        base = make_run(lambda i, repeat: i % 4 != repeat, folds_of(30, 5), repeats=3)
        other = make_run(lambda i, _: i % 7 != 0, folds_of(30, 5))
        found = compare_runs(base, other)
        assert found.t_test is not None
        assert found.t_test.df == 4
        assert found.base_accuracy == pytest.approx(sum(i % 4 != r for i in range(30) for r in range(3)) / 90)

    def test_segments_count_where_asked_and_mcnemar_still_counts_recordings(self) -> None:
        base = make_run(lambda i, _: i % 2 == 0, folds_of(12, 3), segments=3)
        worse, columns = base.predictions.copy(), [f"p_{label}" for label in LABELS]
        best = worse[columns].idxmax(axis=1).str.removeprefix("p_")
        turned = (worse["start_s"] == 0) & (best == worse["truth"])
        worse.loc[turned, columns] = worse.loc[turned, columns].to_numpy()[:, [2, 0, 1]]
        found = compare_runs(base, FinishedRun(base.results, worse), "segment")
        assert (found.level, found.base_accuracy, found.other_accuracy) == ("segment", 18 / 36, 12 / 36)
        assert found.mcnemar == McNemar(0, 0, 1), "the mean over three segments is still right"

    def test_the_order_of_labels_and_of_rows_does_not_matter(self) -> None:
        folds = folds_of(30, 5)
        base = make_run(lambda i, _: i % 2 == 0, folds)
        other = make_run(lambda i, _: i % 3 != 0, folds)
        turned = make_run(lambda i, _: i % 3 != 0, folds, labels=LABELS[::-1])
        shuffled = FinishedRun(turned.results, turned.predictions.sample(frac=1, random_state=0))
        assert compare_runs(base, shuffled) == compare_runs(base, other)

    def test_nothing_in_common(self) -> None:
        base, other = (make_run(lambda i, _: True, [list(span)]) for span in (range(5), range(5, 9)))
        with pytest.raises(ProtocolError, match="no test recording in common"):
            compare_runs(base, other)

    def test_other_labels(self) -> None:
        base = make_run(lambda i, _: True, [[0, 1, 2]])
        other = FinishedRun(base.results, base.predictions.assign(truth=["fear", "fear", "sadness"]))
        with pytest.raises(ProtocolError, match=r"1 recordings are labelled differently.*anger/000\.wav"):
            compare_runs(base, other)

    def test_becomes_json_and_back(self) -> None:
        folds = folds_of(30, 5)
        found = compare_runs(make_run(lambda i, _: i % 4 == 0, folds), make_run(lambda i, _: i % 7 != 0, folds))
        content = holm_corrected([found, found])[0].to_dict()
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        assert content["p_holm"] == pytest.approx(2 * content["p"])
        assert content["p"] == content["t_test"]["p"]
        assert content["t_test"]["ci95"][0] < content["t_test"]["difference"] < content["t_test"]["ci95"][1]


class TestSentence:
    CLEAR = TTest(0.071, 3.9, 24, 0.001, (0.020, 0.122))

    def test_a_difference_that_was_shown(self) -> None:
        table = holm_corrected([make_comparison(self.CLEAR), *[make_comparison()] * 3])
        assert sentence(table[0], "model2", "model3") == (
            "model3 is 7.1 points above model2 (95 % interval 2.0 to 12.2; p = 0.004 after Holm's correction)"
        )

    def test_below_is_told_in_plain_numbers(self) -> None:
        below = make_comparison(TTest(-0.071, -3.9, 24, 0.0001, (-0.122, -0.020)))
        assert sentence(below, "a", "b") == "b is 7.1 points below a (95 % interval 2.0 to 12.2; p < 0.001)"

    def test_a_difference_that_was_not_shown(self) -> None:
        not_shown = make_comparison(TTest(-0.012, -0.8, 4, 0.46, (-0.052, 0.028)))
        assert sentence(not_shown, "model3", "model4") == (
            "no difference was shown between model4 and model3 "
            "(model4 1.2 points below; 95 % interval −5.2 to 2.8; p = 0.460)"
        )

    def test_an_interval_that_holms_correction_overrules_says_so(self) -> None:
        table = holm_corrected([make_comparison(TTest(0.04, 2.3, 9, 0.03, (0.005, 0.075))), make_comparison()])
        assert sentence(table[0], "a", "b") == (
            "no difference was shown between b and a (b 4.0 points above; "
            "95 % interval 0.5 to 7.5 before correction; p = 0.060 after Holm's correction)"
        )

    def test_without_a_t_test_it_names_what_it_rests_on(self) -> None:
        assert sentence(make_comparison(interval=(0.02, 0.10), p=0.01), "recording", "take") == (
            "take is 6.0 points above recording (95 % bootstrap interval 2.0 to 10.0; McNemar's p = 0.010, "
            "on one drawing of the folds)"
        )

    def test_a_small_p_alone_claims_nothing(self) -> None:
        assert not make_comparison(interval=(-0.01, 0.1), p=0.01).shown

    def test_there_is_no_minus_zero(self) -> None:
        assert "−0.0" not in sentence(make_comparison(interval=(-0.0001, 0.0001)), "a", "b")
