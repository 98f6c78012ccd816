"""A rare mutation beside its wild type: which wells show more than a blank, and how much of it there is."""

from mixsci import ddpcr

# 3 %, 0.3 % and 0.03 % of the molecules, and none, with 0.9 copies of the wild type in a droplet; 10 wells are blank.
made = ddpcr.simulate_plate(
    {"Mutant": [0.027, 0.0027, 0.00027, 0.0], "Wild type": 0.9}, n_droplets=20_000, controls=10, rng=1
)
q = ddpcr.quantify(made.plate)
print(q.plate_fit.outcome.value)

limit = q.lob["Mutant"]
print(f"limit of blank {limit.lob:g} droplets, limit of detection {limit.lod:.1f} copies in a well")
print(limit.method)

mutant = q.results[(q.results["Target"] == "Mutant") & (q.results["SampleType"] == "Unknown")]
truth = made.truth.pivot(index="Well", columns="Target", values="Lambda")
print("\n  true %  found %  95 % interval    droplets  more than a blank")
for row in mutant.itertuples():
    share = 100 * truth.loc[row.Well, "Mutant"] / truth.loc[row.Well].sum()
    interval = f"{row.PoissonFractionalAbundanceMin:.3f} to {row.PoissonFractionalAbundanceMax:.3f}"
    words = "yes" if row.AboveLoB else "no"
    print(f"{share:8.3f} {row.FractionalAbundance:8.3f}  {interval:16} {row.Positives:8}  {words}")
