"""The parts of bench/run: fixtures, the runtimes under test, the rows of the table, and the plot."""
