import numpy as np
import pytest

from thymos.baseline.linear_svm import fit_svms


def problem(recordings: int, functionals: int, classes: int, seed: int = 0):
    random = np.random.default_rng(seed)
    scales = np.exp(random.normal(0, 3, functionals))
    standard = random.normal(size=(recordings, functionals))
    hidden = standard @ random.normal(size=(functionals, classes)) / np.sqrt(functionals)
    return (standard + 5) * scales, (hidden + random.normal(0, 0.5, hidden.shape)).argmax(1)


@pytest.mark.parametrize("name", ["standard", "minmax"])
@pytest.mark.parametrize(("recordings", "functionals"), [(60, 400), (200, 12)])
def test_it_is_the_librarys_machine_on_scaled_vectors(name, recordings, functionals):
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import LinearSVC

    vectors, targets = problem(recordings + 40, functionals, 4)
    train, test = slice(recordings), slice(recordings, None)
    cs = (1e-4, 1e-2, 1.0)
    fitted = fit_svms(name, cs, vectors[train], targets[train], seed=3)
    scaled = {"standard": StandardScaler, "minmax": MinMaxScaler}[name]().fit(vectors[train])
    for c, machine in zip(cs, fitted, strict=True):
        plain = LinearSVC(C=c, dual=True, max_iter=20_000, random_state=3, tol=1e-6)
        plain.fit(scaled.transform(vectors[train]), targets[train])
        expected = plain.decision_function(scaled.transform(vectors[test]))
        np.testing.assert_allclose(machine.margins(vectors[test]), expected, atol=0.02 * np.abs(expected).max())
        assert machine.parameters == plain.coef_.size + plain.intercept_.size
        assert machine.converged


def test_it_tells_the_classes_apart():
    vectors, targets = problem(300, 40, 3)
    (machine,) = fit_svms("standard", [0.01], vectors[:200], targets[:200], 0)
    assert (machine.margins(vectors[200:]).argmax(1) == targets[200:]).mean() > 0.6


def test_two_classes_have_two_margins_and_the_higher_decides():
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    vectors, targets = problem(120, 200, 2)
    (machine,) = fit_svms("standard", [0.01], vectors[:80], targets[:80], 0)
    margins = machine.margins(vectors[80:])
    assert margins.shape == (40, 2)
    plain = LinearSVC(C=0.01, dual=True, random_state=0)
    scaler = StandardScaler().fit(vectors[:80])
    plain.fit(scaler.transform(vectors[:80]), targets[:80])
    assert (margins.argmax(1) == plain.predict(scaler.transform(vectors[80:]))).all()


def test_a_functional_that_never_changes_does_no_harm():
    vectors, targets = problem(80, 200, 3)
    vectors[:, 7] = 4.0
    for scaler in ("standard", "minmax"):
        (machine,) = fit_svms(scaler, [0.1], vectors[:60], targets[:60], 0)
        assert np.isfinite(machine.margins(vectors[60:])).all()
