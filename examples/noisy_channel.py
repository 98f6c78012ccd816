"""A channel that sometimes turns noisy: how often it errs, and what one Gaussian would have promised."""

import numpy as np

import mixsci as mx

# Noise voltage, 3 % of the time five times as strong. A bit is lost where noise exceeds the signal's amplitude.
rng = np.random.default_rng(2)
n = 20_000
noisy = rng.random(n) < 0.03
voltage = rng.normal(0.0, np.where(noisy, 5.0, 1.0), n)

fit = mx.fit(mx.Model(n_components=2), voltage[:, None], rng=1)
print(fit.outcome.value)
print(fit.summary().round(3))

amplitude = np.array([2.0, 4.0, 6.0, 8.0])
far = mx.tails(fit, amplitude, side="above", centre=0.0)
print("amplitude   errors seen   two states   one Gaussian   times   loss")
for j, a in enumerate(amplitude):
    print(
        f"{a:9.0f} {np.mean(voltage > a):13.2e} {far.probability[j]:12.2e} {far.gaussian[j]:14.2e} "
        f"{10 ** far.log10_ratio[j]:7.2g} {far.loss_db[j]:5.1f} dB"
    )

# How sure is the error rate? The delta method, on a logarithmic scale.
sure = mx.standard_errors(fit, voltage[:, None])
low, high = sure.interval(lambda mixture: mx.tails(mixture, 8.0, side="above", centre=0.0).log_probability)
print(f"at amplitude 8: {np.exp(low):.1e} to {np.exp(high):.1e}, with chance 0.95")

# Far out neither chance is a number any more, but their ratio is.
print(f"at amplitude 200: one Gaussian errs 10^{-mx.tails(fit, 200.0).log10_ratio:.0f} times as often")
