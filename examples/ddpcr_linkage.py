"""Two targets on one molecule: how many molecules carry both, and what a law that does not know of them says."""

from mixsci import ddpcr

# 0.3 copies of each target in a droplet; none, a third and nine tenths of them on molecules that carry both.
linked = [0.0, 0.1, 0.27]
made = ddpcr.simulate_plate({"5' end": [0.3] * 3, "3' end": 0.3}, linked=linked, controls=2, rng=2)

q = ddpcr.quantify(made.plate, law="linked")
print(q.plate_fit.outcome.value)
print("\n  true  found  95 % interval    copies/µL of molecules with both ends")
for truth, row in zip(linked, q.results[q.results["Target"] == "5' end"].itertuples(), strict=False):
    interval = f"{row.LinkageMin:.0f} to {row.LinkageMax:.0f}"
    print(f"{1000 * truth / 0.85:6.0f} {row.Linkage:6.0f}  {interval:16}")

# Independent targets are in both ends of a droplet by chance alone. The droplets refute that, well by well:
apart = ddpcr.quantify(made.plate, law="binary")
print("\nlaw='binary', probability that chance alone puts both into so many droplets:")
for row in apart.results[apart.results["Target"] == "5' end"].itertuples():
    print(f"{row.Well} {row.LawP:.2g} {row.QC}")
