"""How fast the office is, beside what others need for the same work and beside a program that does nothing."""
