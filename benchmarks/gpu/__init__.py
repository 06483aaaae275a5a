"""What the framework reaches on a GPU, in eight minutes: speed, resumed runs, memory, and the tests that need one."""
