"""A plate from files to concentrations: written as instruments do, read, quantified, compared with its truth."""

from mixsci import ddpcr

# Four samples ten-fold apart, two wells each, and four wells without template. In the lab this folder is yours.
rates = ddpcr.dilution_series(1.0, steps=4, replicates=2)
made = ddpcr.simulate_plate({"BRAF": rates}, assay="singleplex", n_droplets=15_000, rng=1)
folder = made.write("plate")

plate = ddpcr.read_plate(folder)
print(plate, "-", len(plate.problems), "problems")

q = ddpcr.quantify(plate, merge="Sample")
print(q)
print(q.plate_fit.outcome.value)

columns = ["Well", "Sample", "Concentration", "PoissonConfMin", "PoissonConfMax", "Positives"]
table = q.results[q.results["MergedWells"] == ""][columns].round(2)
print(table.assign(Truth=made.truth["Concentration"].round(2)).to_string(index=False))

merged = q.results[q.results["MergedWells"] != ""]
print("\nWells of one sample together, with their scatter in the interval, copies/µL:")
print(
    merged[["Sample", "Concentration", "TotalConfMin", "TotalConfMax", "MergedWells"]].round(2).to_string(index=False)
)
print(q.write("quantified", pictures=False)[0], "holds all columns")
