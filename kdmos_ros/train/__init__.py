"""Training and export of the student network. Everything here but `config` needs torch."""
