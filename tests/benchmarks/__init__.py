"""What is measured, and never timed in the suite: machines are shared and noisy."""
