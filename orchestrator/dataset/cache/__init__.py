"""Results of earlier checks, so that a dataset of which little changed is checked in a fraction of the time."""
