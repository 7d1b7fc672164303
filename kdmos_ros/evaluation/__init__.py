"""How good labels are: metrics, by range and class, on bags and data sets; drives compared."""
