"""Labels whole bags: what `kdmos label` does with one bag, with many, and when it is stopped."""
