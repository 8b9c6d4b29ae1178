"""What shows that the claims are true: the checklist with its tests, and the fuzzer. No part of the program."""
