"""The latent space of a variational auto-encoder on handwritten digits: the encoder's variances enter as noise.

The encoder says of every image where it lies in the latent space and how surely, given the prior that the network was
trained with, N(0, 1). Divided by that prior it is what the image alone tells: a measurement with an error, and a gap
in a dimension that the encoder does not use. The mixture behind these measurements is a better prior.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

import mixsci as mx

try:
    import torch
except ImportError:
    print("skipped: this example trains a network with PyTorch: python -m pip install torch")
    sys.exit()

LATENT, HIDDEN, PASSES, BATCH = 6, 128, 30, 50


class AutoEncoder(torch.nn.Module):
    """A variational auto-encoder of 8 x 8 images (Kingma & Welling 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Sequential(
            torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = torch.nn.Sequential(
            torch.nn.Linear(LATENT, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 64)
        )

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log variances (n, LATENT) of the places of images."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance

    def loss(self, images: torch.Tensor) -> torch.Tensor:
        """Minus the evidence lower bound, nats per image; pixels are chances to be inked."""
        mean, log_variance = self.encode(images)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        pixels = torch.nn.functional.binary_cross_entropy_with_logits(self.decoder(latent), images, reduction="sum")
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum()
        return (pixels + divergence) / len(images)


def train(images: torch.Tensor) -> AutoEncoder:
    """An auto-encoder after a few seconds of Adam."""
    network = AutoEncoder()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(PASSES):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            network.loss(images[batch]).backward()
            optimiser.step()
    return network


def sketch(image: np.ndarray) -> list[str]:
    """An image as eight lines of characters."""
    return ["".join(" .:*#"[int(4.99 * ink)] for ink in line) for line in image.reshape(8, 8)]


def encoded(network: AutoEncoder, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (n, LATENT) that the encoder gives."""
    with torch.no_grad():
        mean, log_variance = (part.numpy().astype(float) for part in network.encode(images))
    return mean, np.exp(log_variance)


def measured(mean: np.ndarray, variance: np.ndarray) -> mx.Observations:
    """Places as the images alone tell them: N(mean, variance) divided by N(0, 1); next to no information is a gap."""
    information = 1.0 / variance - 1.0
    told = information > 0.02
    information = np.where(told, information, 0.02)
    place = np.where(told, mean / variance / information, np.nan)
    return mx.Observations(place, noise=mx.noise.from_variances(1.0 / information))


torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
order = np.random.default_rng(0).permutation(len(images))
learnt, held_out = order[:1200], order[1200:]
network = train(images[learnt])
mean, variance = encoded(network, images)
used = variance[learnt].mean(axis=0) < 0.9
latent, new = (measured(mean[rows][:, used], variance[rows][:, used]) for rows in (learnt, held_out))
sigma = np.sqrt(np.diagonal(latent.noise.covariances(len(latent)), axis1=1, axis2=2))
print(
    f"{latent.width} of {LATENT} latent dimensions are used; median errors there: {np.median(sigma, axis=0).round(2)}"
)

# The mixture behind the errors, and one of the places as they are.
model = mx.Model(n_components=10, prior=mx.prior.InverseWishart())
fit = mx.fit(model, latent, rng=0)
blind = mx.fit(model, latent.x, rng=0)
print(fit.outcome.value)

# Which is the better prior? Log evidence of images that nothing was learnt from, against that of N(0, 1).
standard = mx.Mixture([1.0], np.zeros((1, latent.width)), np.eye(latent.width)[None])
for name, found in (("behind the errors", fit), ("errors ignored", blind)):
    gain = np.mean(found.log_density(new) - standard.log_density(new))
    agreement = adjusted_rand_score(digits.target[held_out], found.predict(new if found is fit else new.x))
    print(f"{name:>17}: {gain:+.2f} nats per new image against N(0, 1), agreement with the digits {agreement:.2f}")

# New digits: points of the mixture through the decoder, what it does not use left at 0.
points = torch.zeros(6, LATENT)
drawn, label = fit.sample(6, rng=1)
points[:, used] = torch.tensor(drawn, dtype=torch.float32)
with torch.no_grad():
    drawn = torch.sigmoid(network.decoder(points)).numpy()
print(f"\nsix new digits, drawn from components {label.tolist()}:")
for lines in zip(*map(sketch, drawn), strict=True):
    print("   ".join(lines))

# Odd digits: the least density, the doubt of each accounted for.
odd = np.argsort(fit.log_density(latent))[:6]
print(f"\nthe six oddest of the images, written as {digits.target[learnt][odd].tolist()}:")
for lines in zip(*(sketch(image) for image in digits.data[learnt][odd] / 16.0), strict=True):
    print("   ".join(lines))
