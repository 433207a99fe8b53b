"""Real servers for tests: started privately, on free ports, in a folder of the test's own."""
