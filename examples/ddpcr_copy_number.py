"""Copies of a gene per genome, beside a reference of two, each well with its interval, then replicates together."""

from mixsci import ddpcr

# A normal sample, a duplication and a ten-fold amplification, three wells each; RPP30 has two copies per genome.
copies = [2.0, 3.0, 10.0]
genomes = 0.1
made = ddpcr.simulate_plate(
    {"ERBB2": [genomes * c for c in copies for _ in range(3)], "RPP30": 2 * genomes}, controls=2, rng=1
)
q = ddpcr.quantify(made.plate, reference="RPP30", reference_copies=2)
print(q.plate_fit.outcome.value)

wells = q.results[(q.results["Target"] == "ERBB2") & (q.results["SampleType"] == "Unknown")]
print("\ncopies of ERBB2 per genome")
print(wells[["Well", "Sample", "CNV", "PoissonCNVMin", "PoissonCNVMax"]].round(2).to_string(index=False))

# Replicates: add their droplets, target by target, then take the ratio of the two.
print("\nthe wells of a sample together")
for truth, (sample, own) in zip(copies, q.results.groupby("Sample", sort=False), strict=False):
    gene, reference = (
        ddpcr.merge_wells(rows["Positives"], rows["AcceptedDroplets"], ci="exact").total
        for _, rows in own.groupby("Target", sort=False)
    )
    value, low, high = ddpcr.copy_number(gene, reference, 2)
    print(f"{sample}: {value:.2f} [{low:.2f}, {high:.2f}], simulated with {truth:g}")
