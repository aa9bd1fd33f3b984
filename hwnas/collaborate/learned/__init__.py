"""Small models beside the networks of a plan, fitted to samples: a deferral rule, exits at a cut."""
