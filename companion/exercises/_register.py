"""The checks of all exercises, by name; each chapter's module adds its own."""

CHECKS = {}


def exercise(name, asks):
    """Register a generator of problems as the check of an exercise.

    `asks` is what the exercise wants, as the object of "hand in".
    """

    def register(problems):
        CHECKS[name] = asks, problems
        return problems

    return register
