"""Hues of a painting: reds lie on both sides of 0 degrees, which a Gaussian mixture takes for two colours."""

import warnings
from colorsys import hls_to_rgb, rgb_to_hls

import matplotlib as mpl
import numpy as np
import pandas as pd

import mixsci as mx

mpl.use("Agg")

# A picture of 20 x 30 pixels in four paints, thin and thick; hue in degrees, lightness in per cent.
rng = np.random.default_rng(2)
paints, shares = np.array([0.0, 42.0, 130.0, 222.0]), [0.35, 0.2, 0.25, 0.2]
paint = rng.choice(4, size=600, p=shares)
hue = (paints[paint] + rng.normal(size=600) * np.array([11.0, 6.0, 18.0, 9.0])[paint]) % 360
light = np.clip(np.array([45.0, 62.0, 38.0, 50.0])[paint] + 7.0 * rng.normal(size=600), 2, 98)
pixels = [hls_to_rgb(h / 360, bright / 100, 0.6) for h, bright in zip(hue, light, strict=True)]
picture = np.array(pixels).reshape(20, 30, 3)

# From the picture back to hues.
hls = np.array([rgb_to_hls(*pixel) for pixel in picture.reshape(-1, 3)])
hue, light = 360 * hls[:, :1], 100 * hls[:, 1]

# How many paints? Cut open at 0 degrees, the reds are two for a Gaussian mixture; on the circle they are one.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", mx.ConvergenceWarning)
    line = {k: mx.GaussianMixture(k, n_init=4, random_state=1).fit(hue) for k in range(3, 7)}
    circle = {k: mx.VonMisesMixture(k, period=360, n_init=4, random_state=1).fit(hue) for k in range(3, 7)}
on_line, on_circle = (min(fits, key=lambda k: fits[k].bic(hue)) for fits in (line, circle))
print(f"paints: {len(paints)}; a Gaussian mixture finds {on_line}, a von Mises mixture {on_circle}")
print("  Gaussian means ", line[on_line].means_[:, 0].round(1))
print("  directions     ", circle[on_circle].means_[:, 0].round(1))
print(circle[on_circle].fit_.outcome.value)

# Where the circle is cut is nobody's business: every hue turned by 100 degrees, the answer turns with it.
turned = mx.VonMisesMixture(on_circle, period=360, n_init=4, random_state=1).fit(hue + 100)
print(f"score before and after a turn: {circle[on_circle].score(hue):.6f} {turned.score(hue + 100):.6f}")
print("  directions     ", ((turned.means_[:, 0] - 100) % 360).round(1))

# Mixed rows: hue and lightness. Dark and pale pixels have no hue to be trusted: a gap, and the lightness counts.
pixels = pd.DataFrame({"hue": hue[:, 0], "lightness": light})
pixels.loc[(light < 30) | (light > 65), "hue"] = np.nan
pixels.loc[rng.random(600) < 0.1, "lightness"] = np.nan
both = mx.VonMisesMixture(4, period=360, angles=["hue"], random_state=1).fit(pixels)
seen = pixels["hue"].notna().to_numpy()
print(f"\n{1 - seen.mean():.0%} of the pixels without a hue\n{both.fit_.summary().round(1)}")
names = {k: int(np.abs((both.means_[k, 0] - paints + 180) % 360 - 180).argmin()) for k in range(4)}
right = np.array([names[k] for k in both.predict(pixels)]) == paint
print(f"paint told rightly: {right[seen].mean():.0%} with a hue, {right[~seen].mean():.0%} without")

axes = mx.plot.plot_circle(both.fit_, data=pixels)
axes.figure.savefig("hues.png")
