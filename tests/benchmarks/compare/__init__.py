"""Copy one simulated account with acsync and with other tools, one after the other."""
