"""Two fish populations in one catch: lengths with errors, shares and how sure they are, and a fish in between."""

import numpy as np

import mixsci as mx

# 600 fish of two year classes. A tape on deck errs by 0.3 cm, an estimate from a photograph by 1.5 to 3 cm.
rng = np.random.default_rng(1)
n, share, means, spread = 600, 0.35, np.array([21.0, 27.0]), np.array([1.2, 1.8])
old = rng.random(n) > share
length = rng.normal(means[old.astype(int)], spread[old.astype(int)])
sigma = np.where(rng.random(n) < 0.5, 0.3, rng.uniform(1.5, 3.0, n))
measured = length + sigma * rng.normal(size=n)

catch = mx.Observations(measured[:, None], noise=mx.noise.from_errors(sigma[:, None]))
fit = mx.fit(mx.Model(n_components=2), catch, rng=0)
print(fit.outcome.value)

# How sure the numbers are. Logarithms and log-odds keep intervals of spreads and shares where they can be.
sure = mx.standard_errors(fit, catch)
young = int(np.argmin(fit.mixture.means[:, 0]))


def logit_share(mixture: mx.Mixture) -> np.ndarray:
    """Log-odds of the younger class."""
    return np.log(mixture.weights[young] / (1.0 - mixture.weights[young]))


low, high = (1.0 / (1.0 + np.exp(-end)) for end in sure.interval(logit_share))
print(f"young fish: {fit.mixture.weights[young]:.1%}, 95 % interval {low:.1%} to {high:.1%} (in the sea {share:.0%})")
for k, name in ((young, "young"), (1 - young, "old")):
    mean, error = sure.of(lambda mixture, k=k: mixture.means[k, 0])
    log_sd, log_error = sure.of(lambda mixture, k=k: 0.5 * np.log(mixture.covariances[k, 0, 0]))
    print(f"{name:>5}: {mean:.2f} +- {error:.2f} cm, spread {np.exp(log_sd):.2f} cm (+- {log_error:.0%})")

# The same fit blind to the errors takes them for variety of the fish.
blind = mx.fit(mx.Model(n_components=2), measured[:, None], rng=0)
print("spreads of a fit without the errors:", np.sqrt(blind.mixture.covariances[:, 0, 0]).round(2), "cm")

# A fish of 23.6 cm: the tape and the photograph do not say the same of it.
for how, error in (("tape", 0.3), ("photograph", 3.0)):
    fish = mx.Observations([[23.6]], noise=mx.noise.from_errors([error]))
    chance = fit.responsibilities(fish)[0, young]
    centre, variance = fit.posterior(fish)
    true = f"{centre[0, 0]:.1f} +- {np.sqrt(variance[0, 0, 0]):.1f} cm"
    print(f"23.6 cm by {how} (+- {error} cm): young with chance {chance:.2f}, its length is {true}")

# Where a length alone divides them: both classes as probable.
grid = np.linspace(*sorted(fit.mixture.means[:, 0]), 2001)[:, None]
divide = grid[np.abs(fit.responsibilities(grid)[:, 0] - 0.5).argmin(), 0]
wrong = np.mean((length > divide) != old)
print(f"the line between them lies at {divide:.1f} cm; it puts {wrong:.1%} of the fish on the wrong side")
