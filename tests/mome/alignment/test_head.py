"""The linear head against SciPy's densities, and what it says of frames that it has not seen."""

import numpy as np
from scipy.stats import multivariate_normal
from threadpoolctl import threadpool_limits

from mome.alignment.head import fit


def test_scores_are_logarithms_of_densities_up_to_a_number_of_the_frame() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(scale=3, size=(4, 3))
    labels = rng.integers(4, size=20_000)
    features = (means[labels] + rng.normal(size=(20_000, 3)) * [1, 2, 0.5]).astype(np.float32)

    head = fit(features, labels, 4)

    # What is solved for: the means, and one covariance, a tenth of it a sphere after scaling.
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / spread
    found = np.stack([scaled[labels == k].mean(axis=0) for k in range(4)])
    covariance = np.cov((scaled - found[labels]).T)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / 3 * np.eye(3)
    exact = np.stack([multivariate_normal(mean, covariance).logpdf(scaled[:100]) for mean in found], axis=1)
    scores = head(features[:100])
    np.testing.assert_allclose(scores - scores[:, :1], exact - exact[:, :1], rtol=3e-3, atol=0.02)


def test_the_most_frequent_class_has_no_advantage() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(-1, 1, (9_000, 2)), rng.normal(1, 1, (1_000, 2))]).astype(
        np.float32
    )
    head = fit(features, np.repeat([0, 1], [9_000, 1_000]), 2)
    between = head(np.zeros((1, 2), np.float32))[0]
    assert abs(between[0] - between[1]) < 0.2


def test_it_is_the_same_however_many_threads_sum() -> None:
    rng = np.random.default_rng(0)
    features_TD = (rng.normal(size=(20_000, 128)) @ rng.normal(size=(128, 128))).astype(np.float32)
    labels_T = rng.integers(0, 23, len(features_TD))
    heads = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            heads.append(fit(features_TD, labels_T, 23))
    for one, other in zip(*heads, strict=True):
        np.testing.assert_array_equal(one, other)
