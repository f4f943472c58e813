"""The two products that stand for lapsed's users: data, an oracle that says what a sweep must leave, and a comparison."""
