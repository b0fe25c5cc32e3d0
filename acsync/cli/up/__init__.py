"""Run everything on this machine in one foreground command: `acsync up`."""
