"""One-class experiments: alien scores -> AUC, the ratio study, heat maps, and their part of the report."""
