"""Pictures, animations and Rerun recordings of labelled drives."""
