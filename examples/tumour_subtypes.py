"""Tumour subtypes from the expression of a few genes, with gaps: who is ambiguous, and how sure are the shares?"""

import numpy as np

import mixsci as mx

rng = np.random.default_rng(3)
genes, subtypes = ["ESR1", "ERBB2", "KI67"], ["luminal", "HER2", "basal"]
means = np.array([[9.0, 5.0, 4.0], [6.5, 8.0, 5.5], [4.0, 4.5, 6.5]])
spread = np.array([[1.0, 0.2, -0.3], [0.2, 0.8, 0.1], [-0.3, 0.1, 0.7]])
shares, n = [0.55, 0.2, 0.25], 500

# Log expression of 500 tumours; assays fail for an eighth of the values, and KI67 was not measured in one hospital.
subtype = rng.choice(3, size=n, p=shares)
x = means[subtype] + rng.multivariate_normal(np.zeros(3), spread, size=n)
x[rng.random(x.shape) < 0.125] = np.nan
x[:150, 2] = np.nan

found = mx.select(x, range(1, 5), ("full", "tied"), starts=3, rng=0)
fit = found.best
print(f"{found.verdict}. {fit.outcome.value}")

# Components have no names of their own: each takes that of the subtype whose textbook profile is nearest.
names = [subtypes[int(np.argmin(((means - mean) ** 2).sum(axis=1)))] for mean in fit.mixture.means]
sure = mx.standard_errors(fit, x)
for k, name in enumerate(names):
    low, high = sure.interval(lambda mixture, k=k: np.log(mixture.weights[k]) - np.log1p(-mixture.weights[k]))
    low, high = 1.0 / (1.0 + np.exp(-low)), 1.0 / (1.0 + np.exp(-high))
    print(f"{name:8s}{fit.mixture.weights[k]:6.1%} of tumours, 95 % interval {low:.1%} to {high:.1%}")

# Is a component an artefact, and how many labels will be wrong? How many, had every assay worked?
diagnosis = mx.diagnose(fit, x)
print(diagnosis)
complete = fit.mixture.weights @ diagnosis.overlap.sum(axis=1)
print(f"with every gene measured at most {complete:.1%} of labels would be wrong")

# A tumour is flagged where no subtype has 90 %: it goes to another test, and is not forced into a group.
chances = fit.responsibilities(x)
clear = chances.max(axis=1) >= 0.9
right = np.array(names)[chances.argmax(axis=1)] == np.array(subtypes)[subtype]
print(f"{(~clear).sum()} of {n} tumours are ambiguous")
print(
    f"labels are right for {right[clear].mean():.1%} of the clear tumours, {right[~clear].mean():.1%} of the ambiguous"
)
gaps = np.isnan(x).sum(axis=1)
for number in range(3):
    print(f"with {number} genes missing, {np.mean(~clear[gaps == number]):.0%} are ambiguous")
for row in np.flatnonzero(~clear & (gaps < 3))[:3]:
    values = ", ".join(
        f"{gene} {'not measured' if np.isnan(v) else f'{v:.1f}'}" for gene, v in zip(genes, x[row], strict=True)
    )
    ranked = ", ".join(f"{names[k]} {chances[row, k]:.0%}" for k in np.argsort(-chances[row]))
    print(f"tumour {row}: {values}: {ranked}")
