"""Four loci on one dye make a ladder: the law found over the plate, and what another law would have said."""

from mixsci import ddpcr

# A reference gene in three dilutions: droplets shine by how many of its four loci they hold. Two wells are blank.
rates = [2.0, 1.0, 0.5]
made = ddpcr.simulate_plate({"Target": 0.05, "Reference": rates}, assay="ladder", controls=2, rng=1)


def reference(q: ddpcr.Quantification) -> list[tuple[float, float]]:
    """Copies per droplet of the reference in each sample, and the probability of the law there."""
    rows = q.results[(q.results["Target"] == "Reference") & (q.results["SampleType"] != "NTC")]
    return list(zip(rows["Lambda"], rows["LawP"], strict=True))


found = ddpcr.quantify(made.plate)
print(found.plate_fit.outcome.value)
print(f"law found over the plate: {found.assays[0].law}")
other = ddpcr.quantify(made.plate, law="Ch1=binary,Ch2=poisson")
print(f"for comparison: {other.assays[0].law}\n")

print("copies per droplet and probability of the law: truth, with the law found, with the other")
for truth, ours, theirs in zip(rates, reference(found), reference(other), strict=True):
    print(f"{truth:.2f}    {ours[0]:.3f} ({ours[1]:.2g})    {theirs[0]:.3f} ({theirs[1]:.2g})")
